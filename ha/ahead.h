// What is done ahead of whoever wants it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/quiet_thread.h"

namespace p11ha::ha {

/// Makes results in their order on a thread of its own, a few ahead of its owner, one thread, who takes them in that
/// order and may leave some out. Ends with its owner, and waits for the one that is being made then.
template <class Result>
class Ahead {
 public:
  using Make = std::function<std::optional<Result>(std::size_t)>;

  /// `count` results, `most` of them at a time that nobody has taken. `make` is called on that thread only. Where there
  /// is no thread to be had, there are no results.
  Ahead(std::size_t count, std::size_t most, Make make) : count_(count), most_(most), make_(std::move(make)) {
    try {
      thread_ = base::quietThread([this] { run(); });
    } catch (const std::system_error&) {
      isOver_ = true;
    }
  }
  ~Ahead() {
    {
      base::Lock lock(mutex_);
      isOver_ = true;
      moved_.notifyAll();
    }
    if (thread_.joinable()) thread_.join();
  }
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;

  /// That result, once it is there; those before it nobody wants any more.
  std::optional<Result> take(std::size_t index) P11HA_EXCLUDES(mutex_) {
    base::Lock lock(mutex_);
    wanted_ = index;
    moved_.notifyAll();
    while (next_ <= index && !isOver_) moved_.wait(mutex_);
    made_.erase(made_.begin(), made_.lower_bound(index));
    auto found = made_.extract(index);
    wanted_ = index + 1;
    moved_.notifyAll();
    return found.empty() ? std::nullopt : std::move(found.mapped());
  }

 private:
  void run() P11HA_EXCLUDES(mutex_) {
    for (std::size_t index = 0;; ++index) {
      {
        base::Lock lock(mutex_);
        while (next_ >= wanted_ + most_ && !isOver_) moved_.wait(mutex_);
        index = std::max(index, wanted_);
        if (isOver_ || index >= count_) {
          isOver_ = true;
          moved_.notifyAll();
          return;
        }
      }
      try {
        std::optional<Result> result = make_(index);
        base::Lock lock(mutex_);
        made_.insert_or_assign(index, std::move(result));
      } catch (const std::bad_alloc&) {
        // As if it could not be made.
      }
      base::Lock lock(mutex_);
      next_ = index + 1;
      moved_.notifyAll();
    }
  }

  const std::size_t count_;
  const std::size_t most_;
  const Make make_;
  base::Mutex mutex_;  // not held while one is made
  base::Condition moved_;
  std::map<std::size_t, std::optional<Result>> made_ P11HA_GUARDED_BY(mutex_);
  std::size_t next_ P11HA_GUARDED_BY(mutex_) = 0;    // to be made
  std::size_t wanted_ P11HA_GUARDED_BY(mutex_) = 0;  // none before it is
  bool isOver_ P11HA_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace p11ha::ha
