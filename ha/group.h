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
#include "cryptoki/member.h"
#include "ha/judge.h"
#include "ha/login_state.h"
#include "ha/mechanism_table.h"
#include "ha/member_sessions.h"
#include "ha/object_table.h"
#include "ha/policy.h"
#include "ha/watched_token.h"
#include "halog/sink.h"

namespace p11ha::ha {

/// One member of a group at run time. Owned by the Group, at one address as long as it lives.
struct alignas(64) GroupMember {
  GroupMember(unsigned memberIndex, std::shared_ptr<cryptoki::Member> memberToken, bool isStandby)
      : index(memberIndex),
        standby(isStandby),
        token(std::make_unique<WatchedToken>(std::move(memberToken), epoch)),
        serial(token->serial()) {}

  const unsigned index;
  const bool standby;
  /// Written by Management. What was opened, bound or learnt under another epoch is void.
  std::atomic<std::uint32_t> epoch{1};
  const std::unique_ptr<WatchedToken> token;
  const std::string serial;

  /// The epoch under which a call found it gone: calls avoid it from then on, and Management will follow.
  std::atomic<std::uint32_t> suspect{0};
  /// The login of the group (LoginState::generation) that it has been told of.
  std::atomic<std::uint64_t> loginGeneration{0};
  /// Calls that run on it now: what balancing compares.
  alignas(64) std::atomic<long> outstanding{0};

  MemberSessions sessions;
  ControlSession control;

  bool isSuspect() const { return suspect.load(std::memory_order_relaxed) == epoch.load(std::memory_order_relaxed); }
  /// Has it been lost since that epoch? Unlike isSuspect(), also true once Management has followed.
  bool lostSince(std::uint32_t under) const { return epoch.load(std::memory_order_acquire) != under || isSuspect(); }
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

/// Some members of a group, to be iterated over.
class MemberRange {
 public:
  using Members = std::vector<std::unique_ptr<GroupMember>>;

  class Iterator {
   public:
    Iterator(const Members& members, MemberMask mask) : members_(members), mask_(mask) {}
    GroupMember& operator*() const { return *members_[static_cast<std::size_t>(std::countr_zero(mask_))]; }
    Iterator& operator++() {
      mask_ &= mask_ - 1;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return mask_ != other.mask_; }

   private:
    const Members& members_;
    MemberMask mask_;
  };

  MemberRange(const Members& members, MemberMask mask) : members_(members), mask_(mask) {}
  Iterator begin() const { return {members_, mask_}; }
  Iterator end() const { return {members_, 0}; }

 private:
  const Members& members_;
  const MemberMask mask_;
};

class Group {
 public:
  /// `members` in the order of the configuration.
  Group(GroupPolicy groupPolicy, const base::Clock& groupClock, halog::Sink& groupLog);

  const GroupPolicy policy;
  const base::Clock& clock;

  std::vector<std::unique_ptr<GroupMember>> members;  // constant once the group runs
  MechanismTable mechanisms;                          // constant once the group runs
  ObjectTable objects;
  LoginState login;

  const GroupView& view() const { return *view_.load(std::memory_order_acquire); }
  GroupMember& member(unsigned index) { return *members[index]; }
  /// The members of the mask, in the order of the list: for (GroupMember& member : group.each(mask)).
  MemberRange each(MemberMask mask) { return {members, mask}; }

  /// The members that calls may go to now: those that serve, without those just found gone; when none of them is left,
  /// the standby members, though Management may not have promoted them yet.
  MemberMask callable() const;

  /// A call under that epoch lost the member: it is avoided at once, and Management is told. Any thread.
  void lose(GroupMember& member, std::uint32_t epoch, Loss loss, CK_RV rv);

  /// The call ended both members, each under its epoch: says so, and tells Management. Any thread.
  void poisoned(std::string_view function, GroupMember& first, std::uint32_t firstEpoch, GroupMember& second,
                std::uint32_t secondEpoch);

  /// Milliseconds of a clock that Management moves now and then, never 0: cheap enough to be read in every call.
  std::int64_t coarseNow() const { return coarseNow_.load(std::memory_order_relaxed); }
  void setCoarseNow(base::Monotonic now) {
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
    coarseNow_.store(since + 1, std::memory_order_relaxed);
  }

  void log(const halog::Event& event) { log_.write(policy.serial, event); }

  /// Management's part: publishes who serves. One thread.
  void publish(const GroupView& next) P11HA_EXCLUDES(viewsMutex_);
  /// Management's ear. Set before the first call.
  std::function<void(unsigned member, std::uint32_t epoch, Loss loss, CK_RV rv)> onLoss;
  std::function<void(unsigned member, std::uint32_t epoch)> onPoison;
  /// Whoever wants to know that the group has become usable, or has ceased to be. Set before Management begins.
  std::function<void(bool)> onPresence;

 private:
  halog::Sink& log_;
  std::atomic<std::int64_t> coarseNow_{1};
  base::Mutex viewsMutex_;
  std::map<std::pair<MemberMask, MemberMask>, std::unique_ptr<const GroupView>> views_ P11HA_GUARDED_BY(viewsMutex_);
  std::atomic<const GroupView*> view_{nullptr};
};

}  // namespace p11ha::ha
