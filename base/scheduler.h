// Running work elsewhere, as ports: a scheduler (one thread, in order, timers) and workers (work that may block).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"

namespace p11ha::base {

using Task = std::function<void()>;

/// Runs tasks one after another, none of which may block. Owned by whoever composes the process. Tasks must not throw.
class Scheduler {
 public:
  using TimerId = std::uint64_t;

  virtual ~Scheduler() = default;
  /// Runs the task soon, after those posted before it and before timers, also those that are due. Any thread.
  virtual void post(Task task) = 0;
  /// Runs the task at that time or soon after. Any thread.
  virtual TimerId at(Monotonic when, Task task) = 0;
  /// Forgets a timer; one that is running or has run is left alone. Any thread.
  virtual void cancel(TimerId timer) = 0;
};

/// Runs tasks that may block, each without waiting for the others. Any thread.
class Workers {
 public:
  virtual ~Workers() = default;
  /// False where there is no thread, or no memory, to be had: the task is not run.
  [[nodiscard]] virtual bool run(const Task& task) = 0;
};

/// A Scheduler on a thread of its own, from construction to stop().
class ThreadScheduler final : public Scheduler {
 public:
  ThreadScheduler();
  ~ThreadScheduler() override;

  void post(Task task) override;
  TimerId at(Monotonic when, Task task) override;
  void cancel(TimerId timer) override;

  /// Runs what was posted before, then ends the thread; timers that are not due are dropped. Once; not from a task.
  void stop();

 private:
  void loop();

  Mutex mutex_;
  Condition wake_;
  std::vector<Task> posted_ P11HA_GUARDED_BY(mutex_);
  std::map<std::pair<Monotonic, TimerId>, Task> timers_ P11HA_GUARDED_BY(mutex_);
  TimerId nextTimer_ P11HA_GUARDED_BY(mutex_) = 1;
  bool stopping_ P11HA_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

/// Workers on threads of their own, one a task.
class ThreadWorkers final : public Workers {
 public:
  ThreadWorkers();
  ~ThreadWorkers() override;

  [[nodiscard]] bool run(const Task& task) override;

  /// Waits for the running tasks, and the threads they ran on, with what libraries keep for these. False if some still
  /// run at `until`: they are waited for no longer, and whoever owns what they use must leave it alone. Not from a
  /// task.
  bool drain(Monotonic until);
  /// No task runs now. Takes no lock: also for a child of fork that looks at its parent's workers.
  bool idle() const { return shared_->running.load(std::memory_order_relaxed) == 0; }

 private:
  struct Shared {
    /// Whoever still runs ends on its own.
    void letGo() P11HA_REQUIRES(mutex);

    Mutex mutex;
    Condition idle;
    std::atomic<std::size_t> running{0};                                   // changed under the mutex only
    std::map<std::uint64_t, std::thread> threads P11HA_GUARDED_BY(mutex);  // of the tasks that run
    std::vector<std::thread> ending P11HA_GUARDED_BY(mutex);               // theirs is done
    std::uint64_t next P11HA_GUARDED_BY(mutex) = 0;
  };
  void joinEnding();

  // Outlives this object for a task that never comes back.
  const std::shared_ptr<Shared> shared_;
};

}  // namespace p11ha::base
