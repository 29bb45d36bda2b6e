// What to do after one try of a call: pure. The loop that obeys is in failover.h.
#pragma once

#include <optional>

#include "cryptoki/function.h"
#include "cryptoki/member.h"
#include "cryptoki/probe.h"
#include "cryptoki/return_codes.h"

namespace p11ha::ha {

/// What one try met, and what was already done about this call.
struct Situation {
  cryptoki::Replay replay{};
  cryptoki::Outcome outcome;
  /// The operation the call belongs to can only live on the member that began it, or took more than is kept to begin it
  /// again.
  bool operationStuck = false;
  /// A handle in the call is one of ours that the member should know.
  bool namesObject = false;
  /// The group is logged in as user, and this member took part.
  bool loggedIn = false;
  /// The group is logged in, but this member has not yet been told.
  bool loginMissed = false;
  /// Another call has found the member gone since this one began: what it is asked now it may answer as one that has
  /// come back.
  bool lostMeanwhile = false;
  bool reboundBefore = false;              // its session was opened again for this call
  bool resolvedBefore = false;             // its objects were looked up again for this call
  unsigned unknownLosses = 0;              // members this call ended before with fate Unknown
  std::optional<cryptoki::Health> health;  // after Next::Probe
};

enum class Next : std::uint8_t {
  Answer,         // the outcome is the application's
  Probe,          // ask the member how it is, then judge again
  Login,          // log the member in, then repeat on it
  Rebind,         // open another session on the same member, then repeat
  Resolve,        // look the named objects up again on the same member, then repeat
  NextMember,     // go on elsewhere
  AskAnother,     // the same; the member is lost only if another does what it did not
  OperationOver,  // CKR_DEVICE_ERROR; the operation is gone with its member
  Poisoned,       // CKR_DEVICE_ERROR; two members died of this call
};

enum class Loss : std::uint8_t { None, Dropped, Deactivated, LoginRefused };

struct Judgement {
  Next next = Next::Answer;
  Loss loss = Loss::None;  // what happened to the member
};

/// Did a call of our own lose the member, or our session on it? What is doubtful (CKR_GENERAL_ERROR) counts as a
/// refusal, but CKR_DEVICE_ERROR does not: our input is not bad.
bool isLoss(const cryptoki::Outcome& outcome);

/// DESIGN.md, "What a member answers, and what is retried".
Judgement judge(const Situation& situation);

}  // namespace p11ha::ha
