// Who is inside, and how to get them out: C_Finalize against running calls.
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
}  // namespace detail

/// Counts those inside without making them share a cache line. Any thread. Whoever leaves may still be in leave() when
/// waitEmpty() is true: a gate that others use is not destroyed.
class Gate {
 public:
  /// Where somebody inside is counted.
  struct alignas(64) Shard {
    std::atomic<long> inside{0};
  };

  /// Null once the gate is closed; else leave() must follow, with what was answered.
  Shard* enter() {
    Shard& shard = shards_[ownShard()];
    // Sequentially consistent on both sides: either the closer sees us inside, or we see the gate closed.
    shard.inside.fetch_add(1, std::memory_order_seq_cst);
    if (!closed_.load(std::memory_order_seq_cst)) [[likely]]
      return &shard;
    leave(shard);
    return nullptr;
  }
  void leave(Shard& shard) {
    shard.inside.fetch_sub(1, std::memory_order_seq_cst);
    if (closed_.load(std::memory_order_seq_cst)) [[unlikely]]
      wakeCloser();
  }

  /// Refuses whoever comes from now on. Idempotent.
  void close() { closed_.store(true, std::memory_order_seq_cst); }
  /// Lets them in again.
  void open() { closed_.store(false, std::memory_order_seq_cst); }
  bool closed() const { return closed_.load(std::memory_order_relaxed); }

  /// After close(): waits until nobody is inside; false if somebody still is at `until`.
  bool waitEmpty(Monotonic until);
  /// Nobody is inside now. Takes no lock: also for a child of fork that looks at its parent's gate.
  bool empty() const;

 private:
  static constexpr unsigned kShards = detail::kGateShards;

  static unsigned ownShard() {
    if (detail::gateShard == kShards) [[unlikely]]
      drawShard();
    return detail::gateShard;
  }
  static void drawShard();
  void wakeCloser();

  std::array<Shard, kShards> shards_;
  alignas(64) std::atomic<bool> closed_{false};
  Mutex mutex_;
  Condition left_;
};

}  // namespace p11ha::base
