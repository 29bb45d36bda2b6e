// What one thread sleeps on, and another wakes it by: that one and no other.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace p11ha::transport {

/// A caller that waits for its answer. Owned by the thread that sleeps on it; set by others under its link's lock.
class Signal {
 public:
  enum class State : std::uint32_t {
    Waiting,
    Lead,  // it is the sleeper's turn to read
    Done,  // there is nothing left to wait for
  };

  State state() const { return static_cast<State>(state_.load(std::memory_order_acquire)); }
  /// Without a word to the sleeper.
  void set(State state) { state_.store(static_cast<std::uint32_t>(state), std::memory_order_release); }
  /// Once it is Done, the sleeper may be gone before this returns.
  void wake(State state);
  /// Sleeps while it is Waiting, until then at most.
  State sleep(base::Monotonic until);

 private:
  std::atomic<std::uint32_t> state_{static_cast<std::uint32_t>(State::Waiting)};
};

}  // namespace p11ha::transport
