// How long something is waited for.
#pragma once

#include <algorithm>
#include <atomic>

#include "base/clock.h"

namespace p11ha::transport {

/// Until a time, or until somebody says that it is not wanted any more, which is looked at a few times a second.
/// Borrows `over`. A plain value.
struct Patience {
  base::Monotonic until;
  const std::atomic<bool>* over = nullptr;

  bool ended() const {
    return std::chrono::steady_clock::now() >= until || (over != nullptr && over->load(std::memory_order_relaxed));
  }
  /// When to look again.
  base::Monotonic next() const {
    return std::min(until, std::chrono::steady_clock::now() + std::chrono::milliseconds(100));
  }
  /// The same as poll() wants it.
  int milliseconds() const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next() - std::chrono::steady_clock::now());
    return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
  }
};

}  // namespace p11ha::transport
