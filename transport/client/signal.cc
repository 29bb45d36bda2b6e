#include "transport/client/signal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace p11ha::transport {
namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

timespec toTimespec(base::Monotonic time) {
  const auto since = std::max(time.time_since_epoch(), base::Monotonic::duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  return {static_cast<time_t>(seconds.count()), static_cast<long>((since - seconds).count())};
}

}  // namespace

void Signal::wake(State state) {
  // The kernel takes the address for a name only: that the sleeper may have gone does no harm.
  std::atomic<std::uint32_t>* const at = &state_;
  set(state);
  syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

Signal::State Signal::sleep(base::Monotonic until) {
  const timespec end = toTimespec(until);
  while (state() == State::Waiting) {
    const long slept =
        syscall(SYS_futex, &state_, FUTEX_WAIT_BITSET_PRIVATE, State::Waiting, &end, nullptr, FUTEX_BITSET_MATCH_ANY);
    if (slept == -1 && errno == ETIMEDOUT) break;
  }
  return state();
}

}  // namespace p11ha::transport
