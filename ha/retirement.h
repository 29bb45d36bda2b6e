// What is left of a member that the configuration does not name any more.
#pragma once

#include "ha/member_calls.h"

namespace p11ha::ha {

/// Takes leave of removed members. Owned by the VirtualToken; runs on a worker, as it blocks as the member's calls do.
class Retirement {
 public:
  Retirement(Group& group, MemberCalls& calls, SessionTable& sessions, const SessionOwner& owner)
      : group_(group), calls_(calls), sessions_(sessions), owner_(owner) {}

  /// Closes what is open on a member that was removed under that epoch. A session of the application whose call runs is
  /// left as it is: true when there was nothing to close and none was left. Stops where the member is added again.
  bool run(GroupMember& member, std::uint32_t epoch) P11HA_EXCLUDES(member.attempting);

 private:
  Group& group_;
  MemberCalls& calls_;
  SessionTable& sessions_;
  const SessionOwner& owner_;
};

}  // namespace p11ha::ha
