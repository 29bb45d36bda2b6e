// What the configuration says of a group that runs, read again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cryptoki/member.h"
#include "ha/policy.h"

namespace p11ha::ha {

struct MemberUpdate {
  std::string serial;
  bool standby = false;
  std::shared_ptr<cryptoki::Member> token{};  // needed for a member that the group never had
};

/// All that is in it counts from now on: members that it does not name are removed.
struct GroupUpdate {
  GroupPolicy policy;                 // its label and serial number are the group's
  std::vector<MemberUpdate> members;  // in the order of the configuration
  bool recover = false;               // HARecovery was raised: every member that is down is tried at once
  std::function<void()> then{};       // run once all of it counts, by the group's scheduler; must not throw
};

}  // namespace p11ha::ha
