// One workload, run for a while by some threads of this process.
#pragma once

#include <string>

#include "bench/statistics.h"
#include "bench/token.h"

namespace p11ha::bench {

struct Task {
  std::string workload;
  unsigned threads = 1;
  std::chrono::milliseconds duration{0};
};

struct Sample {
  Latencies latencies;               // of all calls, failed ones too
  std::uint64_t errors = 0;          // a thread's call before the timed ones counts too
  std::string firstError;            // the name of its rv
  std::chrono::nanoseconds wall{0};  // from the start to the end of the last call
  std::chrono::nanoseconds cpu{0};   // of the whole process, meanwhile

  double callsPerSecond() const;
  double cpuMicroseconds() const;  // a call
};

/// Each thread has a session of its own. The error is ready to be shown; calls that fail are none, they are counted.
base::Result<Sample, std::string> measure(Token& token, const Task& task);

}  // namespace p11ha::bench
