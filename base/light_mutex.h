// A mutex for what is nearly always free: one instruction to take, one to give back.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/mutex.h"

namespace p11ha::base {

/// Any thread; not recursive, not fair. Whoever finds it taken sleeps.
class P11HA_CAPABILITY("mutex") LightMutex {
 public:
  LightMutex() = default;
  LightMutex(const LightMutex&) = delete;
  LightMutex& operator=(const LightMutex&) = delete;

  void lock() P11HA_ACQUIRE() {
    std::uint32_t expected = kFree;
    if (!state_.compare_exchange_strong(expected, kTaken, std::memory_order_acquire)) [[unlikely]]
      wait();
  }
  bool tryLock() P11HA_TRY_ACQUIRE(true) {
    std::uint32_t expected = kFree;
    return state_.compare_exchange_strong(expected, kTaken, std::memory_order_acquire);
  }
  /// A full barrier: what the caller reads afterwards is not older.
  void unlock() P11HA_RELEASE() {
    if (state_.exchange(kFree, std::memory_order_seq_cst) == kAwaited) [[unlikely]]
      wake();
  }

 private:
  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kTaken = 1;
  static constexpr std::uint32_t kAwaited = 2;  // taken, and somebody sleeps

  [[gnu::cold]] void wait();
  [[gnu::cold]] void wake();

  std::atomic<std::uint32_t> state_{kFree};
};

}  // namespace p11ha::base
