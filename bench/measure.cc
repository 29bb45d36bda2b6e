#include "bench/measure.h"

#include <sys/resource.h>

#include <atomic>
#include <latch>
#include <thread>

#include "bench/process_cpu.h"
#include "cryptoki/return_codes.h"

namespace p11ha::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

nanoseconds cpuOf(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

nanoseconds cpuTime() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return cpuOf(usage.ru_utime) + cpuOf(usage.ru_stime);
}

// What one thread did. On cache lines of its own: threads write to theirs in every call.
struct alignas(64) Tally {
  Latencies latencies;
  std::uint64_t errors = 0;
  CK_RV firstError = CKR_OK;

  void note(CK_RV rv) {
    if (rv == CKR_OK) [[likely]]
      return;
    if (errors++ == 0) firstError = rv;
  }
};

// One reading of the clock a call: a call ends when the next begins. However short the round, there is one.
void loop(const Workload& workload, Lane& lane, const std::atomic<bool>& over, Tally& tally) {
  Clock::time_point before = Clock::now();
  do {
    const CK_RV rv = workload.run(lane);
    const Clock::time_point after = Clock::now();
    tally.latencies.add(after - before);
    before = after;
    tally.note(rv);
  } while (!over.load(std::memory_order_relaxed));
}

Sample runAll(const Workload& workload, std::vector<Lane>& lanes, const Task& task) {
  std::vector<Tally> tallies(lanes.size());
  std::atomic<bool> over{false};
  std::latch ready(static_cast<std::ptrdiff_t>(lanes.size()) + 1);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    threads.emplace_back([&, i] {
      tallies[i].note(workload.run(lanes[i]));  // what a session does only once is not timed
      ready.arrive_and_wait();
      loop(workload, lanes[i], over, tallies[i]);
    });
  }
  ready.arrive_and_wait();
  const nanoseconds serverCpu = cpuTimeOf(task.servers);
  const nanoseconds cpu = cpuTime();
  const Clock::time_point begun = Clock::now();
  std::this_thread::sleep_for(task.duration);
  over.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  Sample sample;
  sample.wall = Clock::now() - begun;
  sample.cpu = cpuTime() - cpu;
  sample.serverCpu = cpuTimeOf(task.servers) - serverCpu;
  for (const Tally& tally : tallies) {
    sample.latencies.add(tally.latencies);
    if (sample.errors == 0 && tally.errors != 0) sample.firstError = cryptoki::returnCodeName(tally.firstError);
    sample.errors += tally.errors;
  }
  return sample;
}

}  // namespace

double Sample::callsPerSecond() const {
  return static_cast<double>(latencies.count()) / std::chrono::duration<double>(wall).count();
}

double Sample::cpuMicroseconds() const {
  return std::chrono::duration<double, std::micro>(cpu).count() / static_cast<double>(latencies.count());
}

double Sample::serverCpuMicroseconds() const {
  return std::chrono::duration<double, std::micro>(serverCpu).count() / static_cast<double>(latencies.count());
}

base::Result<Sample, std::string> measure(Token& token, const Task& task) {
  const Workload* const workload = findWorkload(task.workload);
  if (workload == nullptr) return base::Failure{"no workload \"" + task.workload + "\""};
  std::vector<Lane> lanes;
  for (unsigned i = 0; i < task.threads; ++i) {
    auto lane = token.openLane(*workload);
    if (!lane) return base::Failure{lane.error()};
    lanes.push_back(std::move(*lane));
  }
  Sample sample = runAll(*workload, lanes, task);
  for (const Lane& lane : lanes) token.close(lane);
  return sample;
}

}  // namespace p11ha::bench
