// The management thread of a group: the one that decides who serves.
#pragma once

#include <array>
#include <functional>
#include <set>
#include <span>
#include <string>

#include "base/scheduler.h"
#include "ha/group_update.h"
#include "ha/recovery.h"
#include "ha/retirement.h"
#include "ha/session.h"

namespace p11ha::ha {

/// Runs the members' state machines (member_state.h): takes events from any thread, and has the effects carried out.
/// Everything but report() and its kin happens on the scheduler's thread; recovery attempts run on workers. Owned by
/// the VirtualToken.
class Management {
 public:
  /// `beforeAttempt` is run on a worker before each attempt to recover a member.
  Management(Group& group, Recovery& recovery, Retirement& retirement, SessionTable& sessions,
             const SessionOwner& owner, base::Scheduler& scheduler, base::Workers& workers,
             std::function<void()> beforeAttempt, Decide decide);

  /// That member is one of the configuration's. Before start().
  void enlist(unsigned member) P11HA_EXCLUDES(mutex_);

  /// Says that it started, of which kind the group is, and how the members were found (admitAtStart()). Once, before
  /// the first call.
  void start(std::span<const std::optional<MemberEvent>> found);

  /// Says that it ends, once. No timer fires after it; attempts that still run change nothing any more.
  void stop();

  // Events. Any thread.
  void lost(unsigned member, std::uint32_t epoch, Loss loss, CK_RV rv);
  /// Not for members that were lost in that very login: they wait for the next.
  void loginStarted(MemberMask except);
  void recoverNow(unsigned member);
  /// What the configuration says now: policy, members and standby members, in one swap.
  void reconfigure(GroupUpdate update);

  /// What is known of a member. Any thread.
  MemberState state(unsigned member) const P11HA_EXCLUDES(mutex_);
  /// Since when no member serves; nothing while one does. Any thread.
  std::optional<base::Monotonic> allLostSince() const P11HA_EXCLUDES(mutex_);

 private:
  struct Change {
    unsigned member;
    MemberState before;
    Step next;
  };
  // Did the group have a member to serve with before a view was published, and has it now?
  struct Presence {
    bool before = false;
    bool now = false;
  };

  void post(unsigned member, const MemberEvent& event);
  bool missedLogin(unsigned member, const MemberEvent& event) const P11HA_EXCLUDES(mutex_);
  void apply(unsigned member, const MemberEvent& event) P11HA_EXCLUDES(mutex_);
  void takeOver(const GroupUpdate& update) P11HA_EXCLUDES(mutex_);
  GroupMember* enrolled(const MemberUpdate& update);
  void endGroup();
  void retire();
  Change meet(unsigned member, const MemberEvent& event) P11HA_EXCLUDES(mutex_);
  void announce(const Change& change);
  void arm(unsigned member, std::uint32_t epoch, base::Monotonic at);
  void carryOut(unsigned member, const Step& next);
  Presence publish() P11HA_EXCLUDES(mutex_);
  void tellPresence(Presence presence);
  void tellOfChange() const;
  void attempt(unsigned member, std::uint32_t epoch);
  void settle(unsigned member, std::uint32_t epoch);
  void work(unsigned member, const MemberEvent& failed, const base::Task& task);
  void watch();
  void check(GroupMember& member, std::uint32_t epoch, cryptoki::Fn fn, std::int64_t running);

  Group& group_;
  Recovery& recovery_;
  Retirement& retirement_;
  SessionTable& sessions_;
  const SessionOwner& owner_;
  base::Scheduler& scheduler_;
  base::Workers& workers_;
  const std::function<void()> beforeAttempt_;
  const Decide decide_;

  // Written on the scheduler's thread only; the mutex is for those who look.
  mutable base::Mutex mutex_;
  std::array<MemberState, kMaxMembers> states_ P11HA_GUARDED_BY(mutex_);
  std::optional<base::Monotonic> allLostSince_ P11HA_GUARDED_BY(mutex_);
  std::array<base::Scheduler::TimerId, kMaxMembers> timers_{};  // scheduler's thread
  bool stopped_ = false;                                        // scheduler's thread
  base::Monotonic lookedAt_;                                    // the watchdog, last; scheduler's thread
  MemberMask leaving_ = 0;         // scheduler's thread: removed members that have something open
  std::set<std::string> refused_;  // scheduler's thread: members for which there is no room, said once
};

}  // namespace p11ha::ha
