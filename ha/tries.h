// What was done about one request so far.
#pragma once

#include <array>
#include <vector>

#include "cryptoki/call_time.h"
#include "ha/failover.h"

namespace p11ha::ha {

/// Lives on the stack of Failover::run().
struct Failover::Tries {
  const cryptoki::Function& row;
  const cryptoki::SameCall& time;
  MemberMask tried = 0;     // members not to be asked (again)
  MemberMask absentOn = 0;  // of them, those that do not hold an object of the call, or could not be asked for it
  std::array<std::uint32_t, kMaxMembers> triedUnder{};  // the epochs in which they were tried
  std::uint32_t epoch = 0;                              // of the member being tried
  bool reached = false;                                 // the call itself was made, not only what has to precede it
  bool absent = false;                                  // the member does not hold an object of the call
  bool diverged = false;  // the operation cannot be what it was: the member says something else, or is not the one
  bool rebound = false;
  bool resolved = false;
  bool loggedInAgain = false;
  unsigned unknownLosses = 0;
  GroupMember* victim = nullptr;  // the first member that the call ended with its fate unknown
  std::uint32_t victimEpoch = 0;
  CK_RV refusal = CKR_OK;  // why a member could not even be asked
  // Members that are well, but whose answer is that of a broken one: another's success convicts them.
  struct Suspect {
    GroupMember* member;
    std::uint32_t epoch;
    CK_RV rv;
  };
  std::vector<Suspect> suspects{};
  std::optional<base::Monotonic> waitsUntil{};  // for a member: RecoverWait is for all tries together
  MemberMask looked = 0;                        // who was there when one was waited for

  /// The next try is another member's.
  void leave(const GroupMember& member) {
    tried |= bit(member.index);
    triedUnder[member.index] = epoch;
    rebound = resolved = loggedInAgain = false;
  }
  /// Of the members that are there now, is one to be looked at that was not? What met a member before it was lost says
  /// nothing of the one that is back.
  bool lookAgain(Group& group) {
    const MemberMask present = group.callable();
    for (const GroupMember& member : group.each(tried & present)) {
      if (!member.lostSince(triedUnder[member.index])) continue;
      tried &= ~bit(member.index);
      looked &= ~bit(member.index);
    }
    const MemberMask fresh = present & ~tried & ~looked;
    looked |= present;
    return fresh != 0;
  }
};

}  // namespace p11ha::ha
