// The threads of a worker that make calls for those that read.
#pragma once

#include <deque>
#include <functional>

#include "base/mutex.h"
#include "transport/server/task.h"

namespace p11ha::transport {

/// Runs heavy work on as many threads as there are cores, and slow work on as many as it needs, up to a bound. Lives as
/// long as its process. Any thread.
class Crew {
 public:
  using Job = std::function<void()>;

  Crew(unsigned cores, unsigned most) : cores_(cores), most_(most), allowed_(cores) {}
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// False where there is no thread to be had, and nobody who could come to it: it is not run.
  [[nodiscard]] bool heavy(Job job) P11HA_EXCLUDES(mutex_);
  [[nodiscard]] bool slow(Job job) P11HA_EXCLUDES(mutex_);

  /// From time to time: where no heavy call has come back since the last tick although others wait, one more may run.
  void tick() P11HA_EXCLUDES(mutex_);

 private:
  bool ensureThread() P11HA_REQUIRES(mutex_);
  void loop() P11HA_EXCLUDES(mutex_);
  bool takeHeavy() const P11HA_REQUIRES(mutex_) { return !heavy_.empty() && runningHeavy_ < allowed_; }

  const unsigned cores_;
  const unsigned most_;
  base::Mutex mutex_;
  base::Condition work_;
  std::deque<Job> heavy_ P11HA_GUARDED_BY(mutex_);
  std::deque<Job> slow_ P11HA_GUARDED_BY(mutex_);
  unsigned allowed_ P11HA_GUARDED_BY(mutex_);
  unsigned runningHeavy_ P11HA_GUARDED_BY(mutex_) = 0;
  unsigned threads_ P11HA_GUARDED_BY(mutex_) = 0;
  unsigned idle_ P11HA_GUARDED_BY(mutex_) = 0;
  std::uint64_t done_ P11HA_GUARDED_BY(mutex_) = 0;
  std::uint64_t doneAtTick_ P11HA_GUARDED_BY(mutex_) = 0;
};

}  // namespace p11ha::transport
