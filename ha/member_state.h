// The life of a member as a pure function: no clock, no thread, no log of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "cryptoki/pkcs11.h"
#include "ha/policy.h"
#include "halog/event.h"

namespace p11ha::ha {

enum class Phase : std::uint8_t {
  Active,      // serves (or stands by)
  Down,        // waits for its next attempt
  Recovering,  // an attempt is under way
  GivenUp,     // no further attempt by itself
};

/// Why a member is not active.
enum class Cause : std::uint8_t {
  None,
  Unreachable,   // not there at C_Initialize
  Dropped,       // a call found it gone
  Deactivated,   // the token logged us out
  LoginRefused,  // it refused the group's PIN, or was lost inside C_Login
  Replaced,      // another token is in its place
};

struct MemberState {
  Phase phase = Phase::Active;
  Cause cause = Cause::None;
  /// Counts the member's outages: whatever was learnt, opened or bound under another epoch is void.
  std::uint32_t epoch = 1;
  std::uint64_t attempts = 0;  // in this outage
  CK_RV lastError = CKR_OK;
  /// A call ended it and another member: the outage is the call's fault, and its attempts have no limit.
  bool poisoned = false;
};

namespace event {
/// At C_Initialize: the member could not be attached.
struct Unreachable {
  CK_RV rv = CKR_OK;
};
/// A call found it gone.
struct Failed {
  std::uint32_t epoch = 0;
  CK_RV rv = CKR_OK;
};
/// A call found us logged out.
struct Deactivated {
  std::uint32_t epoch = 0;
};
/// C_Login was refused by this member alone, or lost it.
struct LoginRefused {
  std::uint32_t epoch = 0;
  CK_RV rv = CKR_OK;
};
/// The call that found it gone under that epoch ended another member, too.
struct Poisoned {
  std::uint32_t epoch = 0;
};
/// The timer of the next attempt has run out.
struct AttemptDue {
  std::uint32_t epoch = 0;
};
struct AttemptSucceeded {
  std::uint32_t epoch = 0;
  std::uint64_t objects = 0;  // copied to the member
};
struct AttemptFailed {
  std::uint32_t epoch = 0;
  CK_RV rv = CKR_OK;
  Cause cause = Cause::None;  // what the attempt met, if that changes what the outage is
};
/// The application logs in again: members refused for their login are tried again.
struct LoginStarted {};
/// Somebody asks for this member to be recovered, given up or not.
struct RecoverNow {};
}  // namespace event

using MemberEvent = std::variant<event::Unreachable, event::Failed, event::Deactivated, event::LoginRefused,
                                 event::AttemptDue, event::AttemptSucceeded, event::AttemptFailed, event::LoginStarted,
                                 event::RecoverNow, event::Poisoned>;

/// What the shell has to do after a step, in this order.
struct Effects {
  std::vector<halog::Event> log;
  bool serveChanged = false;             // the group's view of who serves must be published
  std::optional<base::Monotonic> timer;  // arm the attempt timer (replacing one that runs)
  bool cancelTimer = false;
  bool startAttempt = false;  // attempt number state.attempts
};

struct Step {
  MemberState state;
  Effects effects;
};

/// The one transition function. An event of another epoch, or one that does not fit the phase, changes nothing, so that
/// fifty threads failing at once make one transition and one log line. `serial` names the member in log events.
Step step(const MemberState& state, const MemberEvent& event, base::Monotonic now, const RecoveryPolicy& policy,
          const std::string& serial);

}  // namespace p11ha::ha
