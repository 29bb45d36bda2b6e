// A log that remembers what it was told.
#pragma once

#include <ctime>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "base/mutex.h"
#include "halog/sink.h"

namespace p11ha::tests {

/// Any thread.
class RecordingSink final : public halog::Sink {
 public:
  void write(std::string_view group, const halog::Event& event) noexcept override {
    base::Lock lock(mutex_);
    if (onWrite) onWrite(event);
    events_.push_back(event);
    groups_.emplace_back(group);
  }
  /// Told of each line before it is remembered. Set before the first.
  std::function<void(const halog::Event&)> onWrite;

  std::vector<halog::Event> events() const {
    base::Lock lock(mutex_);
    return events_;
  }
  /// How many of that kind there are.
  template <class E>
  std::size_t count() const {
    base::Lock lock(mutex_);
    std::size_t found = 0;
    for (const halog::Event& event : events_) found += std::holds_alternative<E>(event) ? 1 : 0;
    return found;
  }

 private:
  mutable base::Mutex mutex_;
  std::vector<halog::Event> events_ P11HA_GUARDED_BY(mutex_);
  std::vector<std::string> groups_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::tests
