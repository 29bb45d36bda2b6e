// The management thread of a group: the one that decides who serves.
#pragma once

#include <array>
#include <span>

#include "base/scheduler.h"
#include "ha/recovery.h"
#include "ha/session.h"

namespace p11ha::ha {

/// Runs the members' state machines (member_state.h): takes events from any thread, and has the effects carried out.
/// Everything but report() and its kin happens on the scheduler's thread; recovery attempts run on workers. Owned by
/// the VirtualToken.
class Management {
 public:
  Management(Group& group, Recovery& recovery, SessionTable& sessions, const SessionOwner& owner,
             base::Scheduler& scheduler, base::Workers& workers);

  /// Says that it started, and how it found the members: the rv of each one's first attach(). Once, before the first
  /// call.
  void start(std::span<const CK_RV> attached, bool protectedAuthenticationPath);

  /// Says that it ends, once. No timer fires after it; attempts that still run change nothing any more.
  void stop();

  // Events. Any thread.
  void lost(unsigned member, std::uint32_t epoch, Loss loss, CK_RV rv);
  void loginStarted();
  void recoverNow(unsigned member);

  /// What is known of a member. Any thread.
  MemberState state(unsigned member) const P11HA_EXCLUDES(mutex_);

 private:
  void post(unsigned member, const MemberEvent& event);
  void apply(unsigned member, const MemberEvent& event) P11HA_EXCLUDES(mutex_);
  Step transition(unsigned member, const MemberEvent& event) P11HA_EXCLUDES(mutex_);
  void arm(unsigned member, std::uint32_t epoch, base::Monotonic at);
  void publish() P11HA_EXCLUDES(mutex_);
  void attempt(unsigned member, std::uint32_t epoch);
  void settle(unsigned member, std::uint32_t epoch);
  void work(unsigned member, const MemberEvent& failed, const base::Task& task);
  void watch();
  void check(GroupMember& member, std::uint32_t epoch, cryptoki::Fn fn, std::int64_t running);

  Group& group_;
  Recovery& recovery_;
  SessionTable& sessions_;
  const SessionOwner& owner_;
  base::Scheduler& scheduler_;
  base::Workers& workers_;

  // Written on the scheduler's thread only; the mutex is for those who look.
  mutable base::Mutex mutex_;
  std::array<MemberState, kMaxMembers> states_ P11HA_GUARDED_BY(mutex_);
  std::array<base::Scheduler::TimerId, kMaxMembers> timers_{};  // scheduler's thread
  bool stopped_ = false;                                        // scheduler's thread
};

}  // namespace p11ha::ha
