// The state that the parts of a group share. Each piece is constant, an interned snapshot, atomic, or guarded by the
// one class that holds it; Management alone decides who serves.
#pragma once

#include <atomic>
#include <bit>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "ha/judge.h"
#include "ha/login_state.h"
#include "ha/mechanism_table.h"
#include "ha/notes/note_table.h"
#include "ha/object_table.h"
#include "ha/policy.h"
#include "ha/roster.h"
#include "halog/sink.h"

namespace p11ha::ha {

/// How users log in to a group's members, all alike.
enum class Kind : std::uint8_t {
  Unknown,  // no member has answered yet
  Password,
  Ped,  // CKF_PROTECTED_AUTHENTICATION_PATH
};

/// Who serves. Constant; interned, so that a pointer to one is good for as long as the group lives.
struct GroupView {
  MemberMask serving = 0;  // the active members or, when none is left, the standby members
  MemberMask synced = 0;   // active and standby: those that every change of objects goes to

  bool none() const { return serving == 0; }
  /// The first active member of the list; only if !none().
  unsigned primary() const { return static_cast<unsigned>(std::countr_zero(serving)); }
};

/// Who serves, given who is up: standby members only when nobody else is left.
GroupView makeView(MemberMask up, MemberMask standby);

class Group {
 public:
  Group(const GroupPolicy& groupPolicy, const base::Clock& groupClock, halog::Sink& groupLog);

  const base::Clock& clock;

  Roster members;
  MechanismTable mechanisms;  // constant once the group runs
  ObjectTable objects;
  notes::NoteTable notes;
  LoginState login;
  std::atomic<Kind> kind{Kind::Unknown};  // decided once (admission.h)

  /// As it is now. Constant; interned, so that a reference to one is good for as long as the group lives.
  const GroupPolicy& policy() const { return *policy_.load(std::memory_order_acquire); }

  const GroupView& view() const { return *view_.load(std::memory_order_acquire); }
  GroupMember& member(unsigned index) { return members[index]; }
  /// The members of the mask, in the order of the list: for (GroupMember& member : group.each(mask)).
  MemberRange each(MemberMask mask) { return members.each(mask); }

  /// That note is on the member: the application never sees it. Any thread.
  void keepNote(unsigned member, CK_OBJECT_HANDLE handle, notes::Note note);
  /// It is there no more. Any thread.
  void dropNote(unsigned member, CK_OBJECT_HANDLE handle);

  /// The members that calls may go to now: those that serve, without those just found gone; when none of them is left,
  /// the standby members, though Management may not have promoted them yet.
  MemberMask callable() const;
  /// Of these, the ones that no call has just found gone.
  MemberMask well(MemberMask mask) const;

  /// Those that changes of objects go to: who is in sync, and members under recovery that get what they lacked.
  MemberMask receivers() const { return view().synced | receiving_.load(std::memory_order_acquire); }
  /// The member's recovery: from now on nothing is made that it lacks.
  void receive(const GroupMember& member) { receiving_.fetch_or(bit(member.index), std::memory_order_acq_rel); }
  /// False: it has been lost since receive(), or there was none.
  bool isReceiving(const GroupMember& member) const { return (receiving_.load() & bit(member.index)) != 0; }
  /// False: isReceiving() was.
  bool stopReceiving(const GroupMember& member) {
    return (receiving_.fetch_and(~bit(member.index), std::memory_order_acq_rel) & bit(member.index)) != 0;
  }

  /// RecoverWait: waits, by the machine's clock, until a call may go to some member; false if none came back in that
  /// time, or none will. Any thread.
  bool awaitMember(std::chrono::nanoseconds atMost) P11HA_EXCLUDES(viewsMutex_);
  /// C_Finalize: nobody waits any more, nor does a resync go on after the object that it is at.
  void endWaiting() P11HA_EXCLUDES(viewsMutex_);
  bool waitingEnded() const { return waitingEnded_.load(std::memory_order_acquire); }

  /// activeBasic: all members were lost, and the application has to begin anew. Any thread.
  bool ended() const { return ended_.load(std::memory_order_acquire); }
  /// What the application is told where no member has answered: in activeBasic, once none is left, that it has to begin
  /// anew.
  CK_RV noAnswer() const {
    const bool basic = policy().recoveryMode == RecoveryMode::Basic;
    return basic && callable() == 0 ? CKR_DEVICE_REMOVED : CKR_DEVICE_ERROR;
  }

  /// A call under that epoch lost the member: it is avoided at once, and Management is told. Any thread.
  void lose(GroupMember& member, std::uint32_t epoch, Loss loss, CK_RV rv);

  /// The call ended both members, each under its epoch: says so, and tells Management. Any thread.
  void poisoned(std::string_view function, GroupMember& first, std::uint32_t firstEpoch, GroupMember& second,
                std::uint32_t secondEpoch);

  /// Milliseconds of a clock that Management moves now and then, never 0: cheap enough to be read in every call. It
  /// stands still while this process does.
  std::int64_t coarseNow() const { return coarseNow_.load(std::memory_order_relaxed); }
  void moveCoarse(std::chrono::milliseconds by) {
    coarseNow_.store(coarseNow_.load(std::memory_order_relaxed) + by.count(), std::memory_order_relaxed);
  }

  void log(const halog::Event& event) { log_.write(policy().serial, event); }

  /// Management's part: publishes who serves. One thread.
  void publish(const GroupView& next) P11HA_EXCLUDES(viewsMutex_);
  void setPolicy(const GroupPolicy& next) P11HA_EXCLUDES(viewsMutex_);
  /// For good: ended() is true from now on.
  void end() P11HA_EXCLUDES(viewsMutex_);
  /// Management's ear. Set before the first call.
  std::function<void(unsigned member, std::uint32_t epoch, Loss loss, CK_RV rv)> onLoss;
  std::function<void(unsigned member, std::uint32_t epoch)> onPoison;
  /// Told on the management thread, and from start(): a member's state may be another. Set before Management begins.
  std::function<void()> onChange;
  /// Whoever wants to know that the group has become usable, or has ceased to be. Set before Management begins.
  std::function<void(bool)> onPresence;

 private:
  halog::Sink& log_;
  std::atomic<std::int64_t> coarseNow_{1};
  base::Mutex viewsMutex_;
  base::Condition published_;
  std::vector<std::unique_ptr<const GroupPolicy>> policies_ P11HA_GUARDED_BY(viewsMutex_);
  std::atomic<const GroupPolicy*> policy_{nullptr};
  std::atomic<bool> ended_{false};
  std::atomic<bool> waitingEnded_{false};
  std::map<std::pair<MemberMask, MemberMask>, std::unique_ptr<const GroupView>> views_ P11HA_GUARDED_BY(viewsMutex_);
  std::atomic<const GroupView*> view_{nullptr};
  std::atomic<MemberMask> receiving_{0};
};

}  // namespace p11ha::ha
