#include "halog/process_id.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>

namespace p11ha::halog {
namespace {

std::atomic<pid_t> remembered{0};

}  // namespace

pid_t processId() noexcept {
  // Without the handler nothing may be remembered.
  static const bool kForksAreSeen =
      pthread_atfork(nullptr, nullptr, [] { remembered.store(0, std::memory_order_relaxed); }) == 0;
  pid_t pid = remembered.load(std::memory_order_relaxed);
  if (pid == 0) {
    pid = getpid();
    if (kForksAreSeen) remembered.store(pid, std::memory_order_relaxed);
  }
  return pid;
}

}  // namespace p11ha::halog
