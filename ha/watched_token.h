// A member whose calls are seen by the watchdog.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>

#include "base/mutex.h"
#include "cryptoki/member.h"

namespace p11ha::ha {

/// Notes every call that p11ha makes for itself on a member: logins, inventories, sessions opened, probes, but for
/// those that wait for somebody at the token's PIN pad. The application's own calls go past it and are seen in their
/// sessions (RunningCall), which costs them no lock. Owned by the GroupMember. Any thread.
class WatchedToken final : public cryptoki::Member {
 public:
  /// `epoch`: the member's, which outlives this.
  WatchedToken(std::shared_ptr<cryptoki::Member> token, const std::atomic<std::uint32_t>& epoch)
      : token_(std::move(token)), epoch_(epoch) {}

  const std::string& serial() const override { return token_->serial(); }
  CK_RV attach() override { return token_->attach(); }
  std::string problem() const override { return token_->problem(); }
  cryptoki::Standing standing() const override { return token_->standing(); }
  cryptoki::Outcome execute(const cryptoki::Call& call) override P11HA_EXCLUDES(mutex_);

  /// The member itself.
  cryptoki::Member& unwatched() { return *token_; }

  /// A call that runs now.
  struct Running {
    cryptoki::Fn fn;
    std::uint32_t epoch;     // the member's when it began
    std::int64_t since = 0;  // the visitor's own: when it saw the call first
  };
  /// Visits those that run, whose end waits as long.
  void visit(const std::function<void(Running&)>& visitor) P11HA_EXCLUDES(mutex_);

 private:
  /// Among those that run, from its beginning to its end.
  class Noted {
   public:
    Noted(WatchedToken& token, std::list<Running>& own);
    ~Noted();
    Noted(const Noted&) = delete;
    Noted& operator=(const Noted&) = delete;

   private:
    WatchedToken& token_;
    std::list<Running>& own_;
    const std::list<Running>::iterator place_;
  };

  const std::shared_ptr<cryptoki::Member> token_;
  const std::atomic<std::uint32_t>& epoch_;
  base::Mutex mutex_;
  std::list<Running> running_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::ha
