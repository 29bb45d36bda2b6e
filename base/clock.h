// Time as a port: the monotonic clock drives timers, the wall clock is only ever shown (log lines, file names).
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

namespace p11ha::base {

using Monotonic = std::chrono::steady_clock::time_point;
using Wall = std::chrono::system_clock::time_point;

/// For those that wait for the world outside only, which no manual clock drives. Any thread.
inline Monotonic now() { return std::chrono::steady_clock::now(); }

/// Since the epoch, as what is kept says it to whoever reads it later.
inline std::uint64_t milliseconds(Wall at) {
  return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(at).time_since_epoch().count());
}

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
  /// As of the kernel's last tick, a few milliseconds ago: what is only shown need not ask the hardware.
  Wall wall() const override {
    timespec last{};
    clock_gettime(CLOCK_REALTIME_COARSE, &last);
    return Wall(std::chrono::duration_cast<Wall::duration>(std::chrono::seconds(last.tv_sec) +
                                                           std::chrono::nanoseconds(last.tv_nsec)));
  }
};

}  // namespace p11ha::base
