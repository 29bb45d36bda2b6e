#include "base/gate.h"

namespace p11ha::base {
namespace detail {
constinit thread_local unsigned gateShard = kGateShards;
}  // namespace detail

namespace {
std::atomic<unsigned> nextShard{0};
}  // namespace

void Gate::drawShard() { detail::gateShard = nextShard.fetch_add(1, std::memory_order_relaxed) % kShards; }

void Gate::wakeCloser() {
  Lock lock(mutex_);
  left_.notifyAll();
}

bool Gate::empty() const {
  long inside = 0;
  for (const Shard& shard : shards_) inside += shard.inside.load(std::memory_order_seq_cst);
  return inside == 0;
}

bool Gate::waitEmpty(Monotonic until) {
  Lock lock(mutex_);
  while (!empty()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    left_.waitUntil(mutex_, until);
  }
  return true;
}

}  // namespace p11ha::base
