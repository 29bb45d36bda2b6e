// One workload, run for a while by some threads of this process.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "bench/statistics.h"
#include "bench/token.h"

namespace p11ha::bench {

struct Task {
  std::string workload;
  unsigned threads = 1;
  std::chrono::milliseconds duration{0};
  std::vector<pid_t> servers;  // processes that do the work, if others do
};

struct Sample {
  Latencies latencies;                    // of all calls, failed ones too
  std::uint64_t errors = 0;               // a thread's call before the timed ones counts too
  std::string firstError;                 // the name of its rv
  std::chrono::nanoseconds wall{0};       // from the start to the end of the last call
  std::chrono::nanoseconds cpu{0};        // of the whole process, meanwhile
  std::chrono::nanoseconds serverCpu{0};  // likewise, of the task's servers

  double callsPerSecond() const;
  double cpuMicroseconds() const;  // a call
  double serverCpuMicroseconds() const;
};

/// Each thread has a session of its own. The error is ready to be shown; calls that fail are none, they are counted.
base::Result<Sample, std::string> measure(Token& token, const Task& task);

}  // namespace p11ha::bench
