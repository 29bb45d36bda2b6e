#include "transport/server/crew.h"

#include <system_error>
#include <thread>

namespace p11ha::transport {
namespace {

constexpr std::chrono::seconds kIdle{10};

}  // namespace

bool Crew::heavy(Job job) {
  base::Lock lock(mutex_);
  heavy_.push_back(std::move(job));
  if (heavy_.size() + runningHeavy_ > allowed_) return true;
  if (idle_ > slow_.size()) {
    work_.notifyOne();
  } else if (!ensureThread()) {
    heavy_.pop_back();
    return false;
  }
  return true;
}

bool Crew::slow(Job job) {
  base::Lock lock(mutex_);
  slow_.push_back(std::move(job));
  if (idle_ >= slow_.size()) {
    work_.notifyOne();
  } else if (!ensureThread()) {
    slow_.pop_back();
    return false;
  }
  return true;
}

bool Crew::ensureThread() {
  if (threads_ >= most_) return true;  // one of them comes to it
  try {
    std::thread([this] { loop(); }).detach();
  } catch (const std::system_error&) {
    return threads_ != 0;
  }
  ++threads_;
  return true;
}

void Crew::tick() {
  base::Lock lock(mutex_);
  if (heavy_.empty()) {
    allowed_ = cores_;
  } else if (done_ == doneAtTick_ && runningHeavy_ >= allowed_) {
    ++allowed_;
    if (idle_ > slow_.size()) {
      work_.notifyOne();
    } else {
      ensureThread();
    }
  }
  doneAtTick_ = done_;
}

void Crew::loop() {
  while (true) {
    Job job;
    bool isHeavy = false;
    {
      base::Lock lock(mutex_);
      while (slow_.empty() && !takeHeavy()) {
        const auto until = std::chrono::steady_clock::now() + kIdle;
        ++idle_;
        work_.waitUntil(mutex_, until);
        --idle_;
        if (slow_.empty() && !takeHeavy() && std::chrono::steady_clock::now() >= until) {
          --threads_;
          return;
        }
      }
      isHeavy = slow_.empty();
      auto& from = isHeavy ? heavy_ : slow_;
      job = std::move(from.front());
      from.pop_front();
      if (isHeavy) ++runningHeavy_;
    }
    job();
    if (!isHeavy) continue;
    base::Lock lock(mutex_);
    --runningHeavy_;
    ++done_;
  }
}

}  // namespace p11ha::transport
