// What was done about one request so far.
#pragma once

#include <vector>

#include "cryptoki/call_time.h"
#include "ha/failover.h"

namespace p11ha::ha {

/// Lives on the stack of Failover::run().
struct Failover::Tries {
  const cryptoki::Function& row;
  const cryptoki::SameCall& time;
  MemberMask tried = 0;     // members not to be asked (again)
  std::uint32_t epoch = 0;  // of the member being tried
  bool reached = false;     // the call itself was made, not only what has to precede it
  bool absent = false;      // the member does not hold an object of the call
  bool diverged = false;    // the operation cannot be what it was: the member says something else, or is not the one
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
};

}  // namespace p11ha::ha
