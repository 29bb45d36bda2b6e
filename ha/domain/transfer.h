// A key's way from one member to another under a domain key.
#pragma once

#include <optional>

#include "ha/copied.h"
#include "ha/domain/generation.h"
#include "ha/domain/on_token.h"

namespace p11ha::ha::domain {

/// An end of a transfer: a session whose user is logged in, and that member's key of the generation and kind chosen
/// (choosing.h, holding.h).
struct TransferEnd {
  OnToken token;
  CK_OBJECT_HANDLE domainKey = CK_INVALID_HANDLE;
};

/// A key on its way: wrapped, and the template to unwrap it with.
struct Sent {
  cryptoki::Template wanted;
  base::SecureBytes wrapped;
};

/// Wraps `object` at the source (CKM_AES_KEY_WRAP_PAD), with all attributes that the wrapping does not carry read from
/// there (cryptoki::readForCopy). The target's object is to be a token object or one of the target's session, as asked.
/// Any thread that may use the session. Nothing on success; else why not: Refused names the call and the answer.
std::optional<Copied> sendKey(const TransferEnd& source, CK_OBJECT_HANDLE object, const Kind& kind, bool asTokenObject,
                              Sent& sent);

/// Unwraps it at the target. Any thread that may use the session.
Copied receiveKey(const TransferEnd& target, Sent& sent);

/// One after the other. The wrapped key passes through this process in memory that is wiped. A member that is lost in
/// it is told apart.
Copied transferKey(const TransferEnd& source, CK_OBJECT_HANDLE object, const TransferEnd& target, const Kind& kind,
                   bool asTokenObject);

}  // namespace p11ha::ha::domain
