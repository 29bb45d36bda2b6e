// A log that remembers what it was told.
#pragma once

#include <ctime>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "halog/sink.h"

namespace p11ha::tests {

/// Any thread.
class RecordingSink final : public halog::Sink {
 public:
  void write(std::string_view group, const halog::Event& event) noexcept override {
    base::Lock lock(mutex_);
    events_.push_back(event);
    groups_.emplace_back(group);
  }
  std::vector<halog::Event> events() const {
    base::Lock lock(mutex_);
    return events_;
  }

 private:
  mutable base::Mutex mutex_;
  std::vector<halog::Event> events_ P11HA_GUARDED_BY(mutex_);
  std::vector<std::string> groups_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::tests
