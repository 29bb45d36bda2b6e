#include "base/light_mutex.h"

namespace p11ha::base {

void LightMutex::wait() {
  // Whoever slept cannot know whether others do: it takes the mutex as awaited.
  while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree)
    state_.wait(kAwaited, std::memory_order_relaxed);
}

void LightMutex::wake() { state_.notify_one(); }

}  // namespace p11ha::base
