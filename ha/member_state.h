// The life of a member as a pure function: no clock, no thread, no log of its own.
#pragma once

#include <cstdint>
#include <functional>
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
  Removed,     // no member of the group any more, or not yet
};

/// Why a member is not active.
enum class Cause : std::uint8_t {
  None,
  Unreachable,   // not there at C_Initialize
  Dropped,       // a call found it gone
  NotActivated,  // not activated at C_Initialize
  Deactivated,   // the token logged us out
  Revoked,       // we may not use it any more
  LoginRefused,  // it refused the group's PIN, or was lost inside C_Login
  Replaced,      // another token is in its place
  Unfit,         // it is of another kind than the group
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
  /// Manual recovery was asked for while an attempt was under way: if that fails, the next follows at once.
  bool askedMeanwhile = false;

  base::Monotonic since{};                       // of this phase; Down and Recovering: of the outage
  std::optional<base::Monotonic> nextAttempt{};  // Down: when the timer runs out
  base::Monotonic attemptStarted{};              // the last one
  std::optional<base::Monotonic> recoveredAt{};  // when it came back last
  /// It failed so many times within an interval of coming back: the next first attempt waits 2^backoff intervals.
  std::uint8_t backoff = 0;
  /// What keeps it away, as last said: text of a connection or a certificate.
  std::string problem{};
};

namespace event {
/// At C_Initialize: the member could not be attached.
struct Unreachable {
  CK_RV rv = CKR_OK;
  std::string problem{};  // more than the rv says, to be shown; or nothing
};
/// At C_Initialize: it is there, and not activated.
struct NotActivated {};
/// It cannot be a member of this group.
struct Refused {
  std::uint32_t epoch = 0;
  std::string reason;
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
  bool received = false;      // calls reach it already
};
struct AttemptFailed {
  std::uint32_t epoch = 0;
  CK_RV rv = CKR_OK;
  Cause cause = Cause::None;  // what the attempt met, if that changes what the outage is
  std::string problem{};      // as in Unreachable
  bool received = false;      // calls have reached it meanwhile: what they know of it is void
};
/// Somebody has logged in or out since the attempt that succeeded looked: it is begun anew.
struct LoginMissed {
  std::uint32_t epoch = 0;
};
/// The application logs in again: members refused for their login are tried again.
struct LoginStarted {};
/// Somebody asks for this member to be recovered, given up or not.
struct RecoverNow {};
/// The configuration does not name it any more. What runs on it may end there.
struct Removed {};
/// The configuration names it, and did not before.
struct Added {};
/// activeBasic, and all members are lost: nobody comes back before the application has begun anew.
struct GroupEnded {};
/// The policy is another: timers are set by the new one, and who was given up for want of attempts may have some.
struct PolicyChanged {};
}  // namespace event

using MemberEvent =
    std::variant<event::Unreachable, event::Failed, event::Deactivated, event::LoginRefused, event::AttemptDue,
                 event::AttemptSucceeded, event::AttemptFailed, event::LoginStarted, event::RecoverNow, event::Poisoned,
                 event::NotActivated, event::Refused, event::Removed, event::Added, event::PolicyChanged,
                 event::GroupEnded, event::LoginMissed>;

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
///
/// Attempts start policy.interval apart, give or take a tenth, drawn from policy.jitterSeed; the first of an outage
/// waits longer for a member that does not stay (MemberState::backoff, 16 intervals at most).
Step step(const MemberState& state, const MemberEvent& event, base::Monotonic now, const RecoveryPolicy& policy,
          const std::string& serial);

/// Who decides so.
using Decide = std::function<decltype(step)>;

}  // namespace p11ha::ha
