#include "base/scheduler.h"

#include <pthread.h>
#include <signal.h>

namespace p11ha::base {
namespace {

class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

// A thread that takes none of the application's signals.
std::thread quietThread(Task body) {
  const SignalsBlocked blocked;
  return std::thread(std::move(body));
}

}  // namespace

ThreadScheduler::ThreadScheduler() : thread_(quietThread([this] { loop(); })) {}

ThreadScheduler::~ThreadScheduler() { stop(); }

void ThreadScheduler::post(Task task) {
  {
    Lock lock(mutex_);
    posted_.push_back(std::move(task));
  }
  wake_.notifyOne();
}

Scheduler::TimerId ThreadScheduler::at(Monotonic when, Task task) {
  TimerId id = 0;
  {
    Lock lock(mutex_);
    id = nextTimer_++;
    timers_.emplace(std::pair(when, id), std::move(task));
  }
  wake_.notifyOne();
  return id;
}

void ThreadScheduler::cancel(TimerId timer) {
  Lock lock(mutex_);
  std::erase_if(timers_, [timer](const auto& entry) { return entry.first.second == timer; });
}

void ThreadScheduler::stop() {
  {
    Lock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  wake_.notifyOne();
  thread_.join();
}

void ThreadScheduler::loop() {
  mutex_.lock();
  for (;;) {
    std::vector<Task> due;
    due.swap(posted_);
    const Monotonic now = std::chrono::steady_clock::now();
    while (!stopping_ && !timers_.empty() && timers_.begin()->first.first <= now) {
      due.push_back(std::move(timers_.begin()->second));
      timers_.erase(timers_.begin());
    }
    if (!due.empty()) {
      mutex_.unlock();
      for (const Task& task : due) task();
      due.clear();
      mutex_.lock();
      continue;
    }
    if (stopping_) break;
    if (timers_.empty()) {
      wake_.wait(mutex_);
    } else {
      wake_.waitUntil(mutex_, timers_.begin()->first.first);
    }
  }
  mutex_.unlock();
}

ThreadWorkers::ThreadWorkers() : shared_(std::make_shared<Shared>()) {}

ThreadWorkers::~ThreadWorkers() = default;

bool ThreadWorkers::run(const Task& task) {
  const auto done = [shared = shared_] {
    Lock lock(shared->mutex);
    if (shared->running.fetch_sub(1) == 1) shared->idle.notifyAll();
  };
  {
    Lock lock(shared_->mutex);
    ++shared_->running;
  }
  try {
    quietThread([done, task = Task(task)]() mutable {
      task();
      task = nullptr;  // what the task holds is let go before it counts as done
      done();
    }).detach();
    return true;
  } catch (const std::exception&) {  // std::system_error, std::bad_alloc
    done();
    return false;
  }
}

bool ThreadWorkers::drain(Monotonic until) {
  Lock lock(shared_->mutex);
  while (shared_->running != 0) {
    if (std::chrono::steady_clock::now() >= until) return false;
    shared_->idle.waitUntil(shared_->mutex, until);
  }
  return true;
}

}  // namespace p11ha::base
