#include "base/gate.h"

namespace p11ha::base::detail {

constinit thread_local unsigned gateShard = kGateShards;

namespace {
std::atomic<unsigned> nextShard{0};
}  // namespace

void Crowd::drawShard() { gateShard = nextShard.fetch_add(1, std::memory_order_relaxed) % kGateShards; }

void Crowd::wakeCloser() {
  Lock lock(mutex_);
  left_.notifyAll();
}

bool Crowd::empty() const {
  long inside = 0;
  for (const Shard& shard : shards_) inside += shard.inside.load(std::memory_order_seq_cst);
  return inside == 0;
}

bool Crowd::waitEmpty(Monotonic until) {
  Lock lock(mutex_);
  while (!empty()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    left_.waitUntil(mutex_, until);
  }
  return true;
}

}  // namespace p11ha::base::detail
