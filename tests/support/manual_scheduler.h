// The scheduler and the workers of a test that runs everything on one thread, at the times it says.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "base/scheduler.h"
#include "tests/support/manual_clock.h"

namespace p11ha::tests {

/// Runs tasks only when told to. One thread; tasks may post, arm and cancel.
class ManualScheduler final : public base::Scheduler {
 public:
  explicit ManualScheduler(ManualClock& clock) : clock_(clock) {}

  void post(base::Task task) override { posted_.push_back(std::move(task)); }
  TimerId at(base::Monotonic when, base::Task task) override {
    timers_.emplace(std::pair(when, ++lastTimer_), std::move(task));
    return lastTimer_;
  }
  void cancel(TimerId timer) override {
    std::erase_if(timers_, [timer](const auto& entry) { return entry.first.second == timer; });
  }

  /// Runs what is posted or due now, and what that posts, till nothing is left.
  void run() {
    for (;;) {
      if (!posted_.empty()) {
        std::vector<base::Task> tasks;
        tasks.swap(posted_);
        for (const base::Task& task : tasks) task();
      } else if (!timers_.empty() && timers_.begin()->first.first <= clock_.now()) {
        const base::Task task = std::move(timers_.begin()->second);
        timers_.erase(timers_.begin());
        task();
      } else {
        return;
      }
    }
  }

  /// Runs the task that comes next, if one is posted or due. False: there is none.
  bool runOne() {
    base::Task task;
    if (!posted_.empty()) {
      task = std::move(posted_.front());
      posted_.erase(posted_.begin());
    } else if (!timers_.empty() && timers_.begin()->first.first <= clock_.now()) {
      task = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
    } else {
      return false;
    }
    task();
    return true;
  }
  std::size_t timers() const { return timers_.size(); }

  /// Forgets everything, as a thread does that is stopped.
  void clear() {
    posted_.clear();
    timers_.clear();
  }

  /// Lets that time pass, each timer running at its own.
  void advance(std::chrono::nanoseconds time) {
    const base::Monotonic end = clock_.now() + time;
    run();
    while (!timers_.empty() && timers_.begin()->first.first <= end) {
      if (timers_.begin()->first.first > clock_.now()) clock_.advance(timers_.begin()->first.first - clock_.now());
      run();
    }
    clock_.advance(end - clock_.now());
  }

 private:
  ManualClock& clock_;
  std::vector<base::Task> posted_;
  std::map<std::pair<base::Monotonic, TimerId>, base::Task> timers_;
  TimerId lastTimer_ = 0;
};

/// Runs tasks at once, or keeps them until run(). One thread.
class InlineWorkers final : public base::Workers {
 public:
  bool run(const base::Task& task) override {
    if (exhausted) return false;
    if (queueing) {
      queue_.push_back(task);
    } else {
      task();
    }
    return true;
  }
  /// Runs what was kept.
  void runQueued() {
    std::vector<base::Task> tasks;
    tasks.swap(queue_);
    for (const base::Task& task : tasks) task();
  }
  /// One of them.
  void runQueued(std::size_t which) {
    const base::Task task = std::move(queue_[which]);
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(which));
    task();
  }
  std::size_t queued() const { return queue_.size(); }

  bool queueing = false;
  bool exhausted = false;  // no threads to be had

 private:
  std::vector<base::Task> queue_;
};

}  // namespace p11ha::tests
