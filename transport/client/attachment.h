// A member's connections from one attach() to their loss.
#pragma once

#include <memory>
#include <vector>

#include "transport/client/known_inits.h"
#include "transport/client/link.h"
#include "transport/client/mechanism_answers.h"

namespace p11ha::transport {

/// Shared by the member and its sessions. Once one of the links is lost, all are: what the member has bound (sessions,
/// handles of objects) may be another's now. Any thread.
class Attachment {
 public:
  explicit Attachment(std::vector<std::unique_ptr<Link>> links) : links_(std::move(links)) {}

  bool usable() const {
    for (const auto& link : links_) {
      if (!link->usable()) return false;
    }
    return true;
  }
  const std::vector<std::unique_ptr<Link>>& links() const { return links_; }
  /// Each in turn.
  Link& next() { return *links_[turn_.fetch_add(1, std::memory_order_relaxed) % links_.size()]; }
  /// The one for calls that are about no session.
  Link& first() { return *links_.front(); }

  /// What an Init would be answered may be another from now on.
  void changed() { changes_.fetch_add(1, std::memory_order_acq_rel); }
  /// Another than before: it may.
  std::uint64_t epoch() const {
    std::uint64_t epoch = changes_.load(std::memory_order_acquire);
    for (const auto& link : links_) epoch += link->stateChanges();
    return epoch;
  }
  KnownInits& inits() { return inits_; }
  MechanismAnswers& mechanisms() { return mechanisms_; }

  /// Sessions: with the last one's end, the login may end.
  void opened() { sessions_.fetch_add(1, std::memory_order_relaxed); }
  void closed() {
    if (sessions_.fetch_sub(1, std::memory_order_relaxed) == 1) changed();
  }
  void allClosed() {
    sessions_.store(0, std::memory_order_relaxed);
    changed();
  }

  void close(const std::string& why) {
    for (const auto& link : links_) link->close(why);
  }

 private:
  const std::vector<std::unique_ptr<Link>> links_;
  std::atomic<std::size_t> turn_{0};
  std::atomic<std::uint64_t> changes_{0};
  std::atomic<std::size_t> sessions_{0};
  KnownInits inits_;
  MechanismAnswers mechanisms_;
};

}  // namespace p11ha::transport
