// Time as a port: the monotonic clock drives timers, the wall clock is only ever shown (log lines, file names).
#pragma once

#include <chrono>

namespace p11ha::base {

using Monotonic = std::chrono::steady_clock::time_point;
using Wall = std::chrono::system_clock::time_point;

/// Owned by whoever composes the process; outlives every user. Any thread. Cannot fail.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Monotonic now() const = 0;
  virtual Wall wall() const = 0;
};

/// The machine's own clocks.
class SystemClock final : public Clock {
 public:
  Monotonic now() const override { return std::chrono::steady_clock::now(); }
  Wall wall() const override { return std::chrono::system_clock::now(); }
};

}  // namespace p11ha::base
