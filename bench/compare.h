// Subjects against each other, in interleaved rounds.
#pragma once

#include <functional>
#include <span>

#include "bench/measure.h"
#include "bench/subject.h"

namespace p11ha::bench {

struct Plan {
  std::vector<const Workload*> workloads;
  std::vector<unsigned> threads;
  unsigned rounds = 0;
  std::chrono::milliseconds round{0};
};

/// What one subject did with one workload at one number of threads, over all rounds.
struct Comparison {
  std::string subject;
  const Workload* workload = nullptr;
  unsigned threads = 0;
  double callsPerSecond = 0;         // median of the rounds
  double ratio = 0;                  // to the first subject: median of the ratios of the rounds
  double cpuMicroseconds = 0;        // a call, median of the rounds
  double serverCpuMicroseconds = 0;  // likewise, of the subject's servers
  double cpuRatio = 0;  // of the client's, to the first subject: says most where others keep the machine busy
  Latencies latencies;  // of all rounds
  std::uint64_t errors = 0;
  std::string firstError;
};

/// In each round every subject has its turn, in the order given and then backwards, so that a machine that drifts
/// favours none. Workloads, then threads, then subjects. `progress` is told what comes next.
base::Result<std::vector<Comparison>, std::string> compare(std::span<const Subject> subjects, const Plan& plan,
                                                           const std::function<void(const std::string&)>& progress);

}  // namespace p11ha::bench
