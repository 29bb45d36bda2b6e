#include "base/scheduler.h"

#include "base/quiet_thread.h"

namespace p11ha::base {

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
    if (!posted_.empty()) {
      std::vector<Task> posted;
      posted.swap(posted_);
      mutex_.unlock();
      for (const Task& task : posted) task();
      posted.clear();
      mutex_.lock();
      continue;
    }
    // One at a time, so that each can still be cancelled by what runs before it.
    if (!stopping_ && !timers_.empty() && timers_.begin()->first.first <= std::chrono::steady_clock::now()) {
      auto timer = timers_.extract(timers_.begin());
      mutex_.unlock();
      timer.mapped()();
      timer.mapped() = nullptr;
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

ThreadWorkers::~ThreadWorkers() {
  joinEnding();
  Lock lock(shared_->mutex);
  shared_->letGo();
}

void ThreadWorkers::Shared::letGo() {
  for (auto& [number, thread] : threads) thread.detach();
  threads.clear();
}

bool ThreadWorkers::run(const Task& task) {
  joinEnding();
  Lock lock(shared_->mutex);
  const std::uint64_t number = shared_->next++;
  try {
    shared_->ending.reserve(shared_->ending.size() + shared_->threads.size() + 1);
    std::thread& own = shared_->threads[number];
    // Whatever it does, it is not done before it has a place in the table.
    own = quietThread([shared = shared_, number, task = Task(task)]() mutable {
      task();
      task = nullptr;  // what the task holds is let go before it counts as done
      Lock ended(shared->mutex);
      // Nobody joins one that was let go.
      if (auto ours = shared->threads.extract(number)) shared->ending.push_back(std::move(ours.mapped()));
      if (shared->running.fetch_sub(1) == 1) shared->idle.notifyAll();
    });
    ++shared_->running;
    return true;
  } catch (const std::exception&) {  // std::system_error, std::bad_alloc
    shared_->threads.erase(number);
    return false;
  }
}

// They have nothing left to do but what libraries do at a thread's end, which a process's end must not meet.
void ThreadWorkers::joinEnding() {
  std::vector<std::thread> threads;
  {
    Lock lock(shared_->mutex);
    threads.swap(shared_->ending);
  }
  for (std::thread& thread : threads) thread.join();
}

bool ThreadWorkers::drain(Monotonic until) {
  {
    Lock lock(shared_->mutex);
    while (shared_->running != 0) {
      if (std::chrono::steady_clock::now() >= until) {
        shared_->letGo();
        return false;
      }
      shared_->idle.waitUntil(shared_->mutex, until);
    }
  }
  joinEnding();
  return true;
}

}  // namespace p11ha::base
