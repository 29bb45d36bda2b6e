// The members of a group: those of the configuration as it is now, and those that were.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cryptoki/member.h"
#include "ha/member_sessions.h"
#include "ha/object_table.h"
#include "ha/policy.h"
#include "ha/watched_token.h"

namespace p11ha::ha {

/// One member of a group at run time. Owned by the Roster, at one address as long as it lives.
struct alignas(64) GroupMember {
  GroupMember(unsigned memberIndex, std::shared_ptr<cryptoki::Member> memberToken, bool isStandby)
      : index(memberIndex),
        standby(isStandby),
        token(std::make_unique<WatchedToken>(std::move(memberToken), epoch)),
        serial(token->serial()) {}

  const unsigned index;
  /// Written by Management: it serves only when no other member is left.
  std::atomic<bool> standby;
  /// Written by Management. What was opened, bound or learnt under another epoch is void.
  std::atomic<std::uint32_t> epoch{1};
  const std::unique_ptr<WatchedToken> token;
  const std::string serial;

  /// The epoch under which a call found it gone: calls avoid it from then on, and Management will follow.
  std::atomic<std::uint32_t> suspect{0};
  /// The login of the group (LoginState::generation) that it has been told of.
  std::atomic<std::uint64_t> loginGeneration{0};
  /// The one under which its objects were looked over at its recovery: under another there may be more.
  std::atomic<std::uint64_t> stockGeneration{0};
  /// Calls that run on it now: what balancing compares.
  alignas(64) std::atomic<long> outstanding{0};
  /// Calls that it lost, and that went on to another member.
  std::atomic<std::uint64_t> failovers{0};

  MemberSessions sessions;
  ControlSession control;
  /// The same for recoveries, which may need it for long: no call of the application waits for it.
  ControlSession resync;

  /// Held by each attempt to admit it from beginning to end: one that was overtaken by another may still run.
  base::Mutex attempting;
  /// Its mechanisms were compared with the group's.
  bool isCompared P11HA_GUARDED_BY(attempting) = false;
  /// The token objects it held when it was lost, until it is back.
  std::vector<ObjectPtr> heldBefore P11HA_GUARDED_BY(attempting);
  /// Added, and not back yet: what one of its serial number once held says nothing of it.
  std::atomic<bool> isNew{false};

  /// Closes what p11ha itself has open there, and what the application's sessions have given back, whatever the member
  /// says to that; how many there were. Blocks as the member does.
  std::size_t closeSessions();

  bool isSuspect() const { return suspect.load(std::memory_order_relaxed) == epoch.load(std::memory_order_relaxed); }
  /// Has it been lost since that epoch? Unlike isSuspect(), also true once Management has followed.
  bool lostSince(std::uint32_t under) const { return epoch.load(std::memory_order_acquire) != under || isSuspect(); }
};

/// Which of a member's sessions of p11ha's own serves something: that of the application's calls, or that of
/// recoveries.
using OwnSession = ControlSession GroupMember::*;

class Roster;

/// Some members of a group, to be iterated over by their indices.
class MemberRange {
 public:
  class Iterator {
   public:
    Iterator(const Roster& members, MemberMask mask) : members_(members), mask_(mask) {}
    GroupMember& operator*() const;
    Iterator& operator++() {
      mask_ &= mask_ - 1;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return mask_ != other.mask_; }

   private:
    const Roster& members_;
    MemberMask mask_;
  };

  MemberRange(const Roster& members, MemberMask mask) : members_(members), mask_(mask) {}
  Iterator begin() const { return {members_, mask_}; }
  Iterator end() const { return {members_, 0}; }

 private:
  const Roster& members_;
  const MemberMask mask_;
};

/// Grows and never shrinks: a member that the configuration does not name any more keeps its place, so that calls which
/// still run on it may end there, and has it again when it is named again. An index is a member's rank, too (the lowest
/// one that serves is the primary): it is its place in the configuration as that was at C_Initialize, and members that
/// were added while the application runs come last until the next one.
///
/// add() and setPresent() are Management's, one thread; all else is any thread's.
class Roster {
 public:
  GroupMember& operator[](unsigned index) const { return *members_[index]; }

  /// Those that the configuration names.
  MemberMask present() const { return present_.load(std::memory_order_acquire); }
  /// How many these are.
  unsigned size() const { return static_cast<unsigned>(std::popcount(present())); }
  /// All that there are or were.
  MemberMask everyone() const { return everyone_.load(std::memory_order_acquire); }
  MemberRange each(MemberMask mask) const { return {*this, mask}; }

  /// Present or not; null if there never was one.
  GroupMember* find(const std::string& serial) const;

  /// A further one, not yet present. Null when kMaxMembers have been members in the time of this group.
  GroupMember* add(std::shared_ptr<cryptoki::Member> token, bool standby);
  void setPresent(MemberMask present) { present_.store(present, std::memory_order_release); }

 private:
  std::array<std::unique_ptr<GroupMember>, kMaxMembers> members_;
  std::atomic<MemberMask> everyone_{0};
  std::atomic<MemberMask> present_{0};
};

inline GroupMember& MemberRange::Iterator::operator*() const {
  return members_[static_cast<unsigned>(std::countr_zero(mask_))];
}

}  // namespace p11ha::ha
