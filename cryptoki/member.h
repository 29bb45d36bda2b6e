// The one interface to a token behind a group, wherever it is.
#pragma once

#include <string>

#include "cryptoki/call.h"

namespace p11ha::cryptoki {

/// What is known of a call after it was tried.
enum class Fate : std::uint8_t {
  Answered,  // the token answered: rv is its answer
  NotSent,   // nothing of the call left this process
  Unknown,   // it was sent and no answer came: it may or may not have taken effect
};

struct Outcome {
  CK_RV rv = CKR_OK;
  Fate fate = Fate::Answered;
};

/// May a token be used?
enum class Standing : std::uint8_t {
  Active,
  Deactivated,  // nobody can log in until it is activated
  Revoked,      // not by us
};

/// One token. Owned by the group (and by whoever else shares it); lives until C_Finalize. Handles in calls are the
/// token's own.
class Member {
 public:
  virtual ~Member() = default;

  /// The serial number the configuration knows the token by. Constant; any thread.
  virtual const std::string& serial() const = 0;

  /// Finds the token, again if it was lost, so that calls can be made. Management threads, and C_Initialize; may block
  /// as long as a call. CKR_OK; CKR_TOKEN_NOT_PRESENT: no such serial to be seen; CKR_TOKEN_NOT_RECOGNIZED: another
  /// token is in its place; else what the token's module or the connection answered.
  virtual CK_RV attach() = 0;

  /// Why the last attach() failed, ready to be shown; nothing where its rv says all. Any thread.
  virtual std::string problem() const { return {}; }

  /// As last heard; makes no call. Any thread.
  virtual Standing standing() const { return Standing::Active; }

  /// Makes one call and waits for its outcome. Any thread, many at once (one at a time for a session: PKCS #11
  /// v3.0, 5.2). In a call of route Slot the slot is the token's own, whatever the call says. Never throws.
  virtual Outcome execute(const Call& call) = 0;
};

}  // namespace p11ha::cryptoki
