// Who uses something, and how to get them out: C_Finalize against running calls.
#pragma once

#include <array>
#include <atomic>

#include "base/clock.h"
#include "base/mutex.h"

namespace p11ha::base {

namespace detail {

inline constexpr unsigned kGateShards = 16;
/// kGateShards: not drawn yet. initial-exec: one load instead of a call, and four bytes of the static block that dlopen
/// keeps in reserve.
extern constinit thread_local unsigned gateShard [[gnu::tls_model("initial-exec")]];

/// Counts threads without making them share a cache line.
class Crowd {
 public:
  /// Where somebody inside is counted.
  struct alignas(64) Shard {
    std::atomic<long> inside{0};
  };

  /// With the gate closed: waits until nobody is inside; false if somebody still is at `until`.
  bool waitEmpty(Monotonic until);
  /// Nobody is inside now. Takes no lock: also for a child of fork that looks at its parent's gate.
  bool empty() const;

 protected:
  Shard& ownShard() {
    if (gateShard == kGateShards) [[unlikely]]
      drawShard();
    return shards_[gateShard];
  }
  [[gnu::cold]] void wakeCloser();

 private:
  [[gnu::cold]] static void drawShard();

  std::array<Shard, kGateShards> shards_;
  Mutex mutex_;
  Condition left_;
};

}  // namespace detail

/// The way to a T that is there for a time. Any thread. Whoever leaves may still be in leave() when waitEmpty() is
/// true: a gate that others use is not destroyed. Closed at first.
template <class T>
class Gate : public detail::Crowd {
 public:
  struct Place {
    T* behind = nullptr;
    Shard* shard = nullptr;
  };

  /// Nothing behind the gate while it is closed; else leave() must follow.
  Place enter() {
    Shard& shard = ownShard();
    // Sequentially consistent on both sides: either the closer sees us inside, or we see the gate closed.
    shard.inside.fetch_add(1, std::memory_order_seq_cst);
    T* const behind = behind_.load(std::memory_order_seq_cst);
    if (behind == nullptr) [[unlikely]]
      leave(shard);
    return {behind, &shard};
  }
  void leave(Shard& shard) {
    shard.inside.fetch_sub(1, std::memory_order_seq_cst);
    if (behind_.load(std::memory_order_seq_cst) == nullptr) [[unlikely]]
      wakeCloser();
  }

  void open(T& behind) { behind_.store(&behind, std::memory_order_seq_cst); }
  /// Refuses whoever comes from now on; what was behind it, once.
  T* close() { return behind_.exchange(nullptr, std::memory_order_seq_cst); }
  /// What is behind it now, for whoever opens and closes it.
  T* behind() const { return behind_.load(std::memory_order_seq_cst); }

 private:
  alignas(64) std::atomic<T*> behind_{nullptr};
};

}  // namespace p11ha::base
