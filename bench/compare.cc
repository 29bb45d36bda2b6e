#include "bench/compare.h"

#include "bench/worker.h"

namespace p11ha::bench {
namespace {

using Workers = std::vector<std::unique_ptr<Worker>>;

// One subject's rounds.
struct Series {
  std::vector<double> callsPerSecond;
  std::vector<double> cpu;
  std::vector<double> serverCpu;
};

// One after the other: the first to need a key makes it, and the others find it.
std::string warmUp(Workers& workers, const Plan& plan) {
  for (const auto& worker : workers) {
    for (const Workload* workload : plan.workloads) {
      const auto sample = worker->measure({std::string(workload->name), 1, std::chrono::milliseconds(1), {}});
      if (!sample) return sample.error();
    }
  }
  return "";
}

base::Result<std::vector<Comparison>, std::string> rounds(std::span<const Subject> subjects, Workers& workers,
                                                          const Plan& plan, const Workload& workload,
                                                          unsigned threads) {
  std::vector<Comparison> all(subjects.size());
  std::vector<Series> series(subjects.size());
  for (unsigned round = 0; round < plan.rounds; ++round) {
    for (std::size_t turn = 0; turn < subjects.size(); ++turn) {
      const std::size_t who = round % 2 == 0 ? turn : subjects.size() - 1 - turn;
      const auto sample =
          workers[who]->measure({std::string(workload.name), threads, plan.round, subjects[who].servers});
      if (!sample) return base::Failure{sample.error()};
      series[who].callsPerSecond.push_back(sample->callsPerSecond());
      series[who].cpu.push_back(sample->cpuMicroseconds());
      series[who].serverCpu.push_back(sample->serverCpuMicroseconds());
      all[who].latencies.add(sample->latencies);
      if (all[who].errors == 0) all[who].firstError = sample->firstError;
      all[who].errors += sample->errors;
    }
  }
  for (std::size_t who = 0; who < subjects.size(); ++who) {
    Comparison& one = all[who];
    one.subject = subjects[who].name;
    one.workload = &workload;
    one.threads = threads;
    one.callsPerSecond = median(series[who].callsPerSecond);
    one.ratio = medianRatio(series[who].callsPerSecond, series[0].callsPerSecond);
    one.cpuMicroseconds = median(series[who].cpu);
    one.serverCpuMicroseconds = median(series[who].serverCpu);
    one.cpuRatio = medianRatio(series[who].cpu, series[0].cpu);
  }
  return all;
}

}  // namespace

base::Result<std::vector<Comparison>, std::string> compare(std::span<const Subject> subjects, const Plan& plan,
                                                           const std::function<void(const std::string&)>& progress) {
  Workers workers;
  for (const Subject& subject : subjects) {
    auto worker = Worker::start(subject);
    if (!worker) return base::Failure{worker.error()};
    workers.push_back(std::move(*worker));
  }
  if (std::string wrong = warmUp(workers, plan); !wrong.empty()) return base::Failure{wrong};
  std::vector<Comparison> all;
  for (const Workload* workload : plan.workloads) {
    for (const unsigned threads : plan.threads) {
      progress(std::string(workload->name) + ", " + std::to_string(threads) + " threads");
      auto some = rounds(subjects, workers, plan, *workload, threads);
      if (!some) return base::Failure{some.error()};
      for (Comparison& one : *some) all.push_back(std::move(one));
    }
  }
  return all;
}

}  // namespace p11ha::bench
