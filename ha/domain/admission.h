// May a token be given domain keys? Tried on it, with throw-away keys (CLONING.md, "Admission").
#pragma once

#include <string>
#include <vector>

#include "ha/domain/token_session.h"

namespace p11ha::ha::domain {

struct Admission {
  enum class Verdict : std::uint8_t {
    Admitted,  // sealed and open keys
    OpenOnly,  // extractable keys only: `letThrough` or `obstacle` says why
    Refused,   // it holds no domain key: `obstacle`
  };
  Verdict verdict = Verdict::Refused;
  /// What it did that it must not do, in words: "it lets an untrusted key wrap a WRAP_WITH_TRUSTED key".
  std::vector<std::string> letThrough;
  /// What it did not do that it must do, or what kept it from being tried.
  std::string obstacle;
  cryptoki::Outcome outcome;  // of the call that was the obstacle; CKR_OK if it was none
};

/// Tries everything that a holder of the user PIN, or somebody who is not logged in, could do to get at a sealed key,
/// with keys made for that only: each attempt must be refused, by an answer and not by a member that is lost, and what
/// is honest must work, so that nothing is refused merely because it could not have worked. An attempt that is answered
/// CKR_OK counts as refused where the token put the attribute right that was asked for wrongly.
///
/// All throw-away keys are session objects (domain keys are DESTROYABLE=false: those end with the session), but for one
/// copy to the token of a carried key, which is destroyed again. `officerPin` may be nullptr: what can be tried without
/// the Security Officer is tried, and the verdict is OpenOnly at best. The session is open; nobody is logged in
/// afterwards. One thread; blocks as the member's calls do, some hundred of them.
Admission examine(TokenSession& session, const base::SecureBytes& userPin, const base::SecureBytes* officerPin);

}  // namespace p11ha::ha::domain
