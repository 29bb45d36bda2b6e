// One attempt to bring a member back: connect, same token?, login, resync.
#pragma once

#include "ha/catalog.h"
#include "ha/cloning.h"
#include "ha/member_state.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Runs on a worker: every step may block as long as the member's calls do, and no call of
/// the application waits for it.
class Recovery {
 public:
  Recovery(Group& group, Catalog& catalog, Cloner& cloner) : group_(group), catalog_(catalog), cloner_(cloner) {}

  /// The attempt, for a member that is down under that epoch: event::AttemptSucceeded or event::AttemptFailed.
  MemberEvent attempt(GroupMember& member, std::uint32_t epoch);

  /// After the member serves again: what was made, and who logged in or out, between the attempt's last look and now.
  void settle(GroupMember& member, std::uint32_t epoch);

 private:
  struct Copies {
    cryptoki::Outcome outcome;
    std::uint64_t tokenObjects = 0;
  };
  /// Copies to the member what it lacks; ends early when the member is lost.
  Copies copyMissing(GroupMember& member, std::uint32_t epoch);
  Copied copyFromAny(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch, unsigned preferred);
  cryptoki::Outcome connect(GroupMember& member, std::uint32_t epoch);
  cryptoki::Outcome follow(GroupMember& member, std::uint32_t epoch);
  MemberMask certainHolders(const Object& object, MemberMask among);

  Group& group_;
  Catalog& catalog_;
  Cloner& cloner_;
};

}  // namespace p11ha::ha
