// One attempt to bring a member back: the same token, and may it be used? Then connect, login, stock, resync.
#pragma once

#include <functional>

#include "ha/catalog.h"
#include "ha/domain_keys.h"
#include "ha/key_records.h"
#include "ha/member_state.h"
#include "ha/resync.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Runs on a worker: every step may block as long as the member's calls do, and no call of
/// the application waits for it.
class Recovery {
 public:
  Recovery(Group& group, Catalog& catalog, DomainKeys& domainKeys, Resync& resync, KeyRecords& records)
      : group_(group), catalog_(catalog), domainKeys_(domainKeys), resync_(resync), records_(records) {}

  /// The attempt, for a member that is down under that epoch: event::AttemptSucceeded, event::AttemptFailed or
  /// event::Refused.
  MemberEvent attempt(GroupMember& member, std::uint32_t epoch) P11HA_EXCLUDES(member.attempting);

  /// After the member serves again: what was made, and who logged in or out, between the attempt's last look and now;
  /// and what it alone held is given to the others.
  void settle(GroupMember& member, std::uint32_t epoch);

 private:
  void settleAlone(GroupMember& member, std::uint32_t epoch) P11HA_EXCLUDES(member.attempting);
  void untilWhole(GroupMember& member, std::uint32_t epoch, const std::function<Resync::Result()>& run);
  void share(GroupMember& member) P11HA_EXCLUDES(member.attempting);
  MemberEvent giveWhatItLacks(GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(member.attempting);
  cryptoki::Outcome connect(GroupMember& member, std::uint32_t epoch);
  cryptoki::Outcome follow(GroupMember& member, std::uint32_t epoch);
  void rememberHeld(GroupMember& member) P11HA_REQUIRES(member.attempting);
  bool isInitialisedAnew(GroupMember& member, std::uint32_t epoch, std::uint64_t login)
      P11HA_REQUIRES(member.attempting);
  bool bearsWhatIsOurs(const GroupMember& member);
  bool wasChanged(const Identity& former);
  MemberMask certainHolders(const Object& object, MemberMask among);

  Group& group_;
  Catalog& catalog_;
  DomainKeys& domainKeys_;
  Resync& resync_;
  KeyRecords& records_;
};

}  // namespace p11ha::ha
