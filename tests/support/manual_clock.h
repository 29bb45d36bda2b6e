// Time that moves only when a test says so.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace p11ha::tests {

/// Any thread.
class ManualClock final : public base::Clock {
 public:
  base::Monotonic now() const override { return base::Monotonic(std::chrono::nanoseconds(elapsed_.load())); }
  base::Wall wall() const override {
    return base::Wall(std::chrono::duration_cast<base::Wall::duration>(std::chrono::seconds(wallStart_.load()) +
                                                                       std::chrono::nanoseconds(elapsed_.load())));
  }
  void advance(std::chrono::nanoseconds by) { elapsed_ += by.count(); }
  void setWall(std::chrono::system_clock::time_point at) {
    wallStart_ = std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count() -
                 std::chrono::duration_cast<std::chrono::seconds>(std::chrono::nanoseconds(elapsed_.load())).count();
  }

 private:
  std::atomic<std::int64_t> elapsed_{1'000'000'000};
  std::atomic<std::int64_t> wallStart_{1'507'134'560};
};

}  // namespace p11ha::tests
