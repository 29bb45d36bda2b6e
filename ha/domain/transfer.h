// A key's way from one member to another under a domain key.
#pragma once

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

/// Wraps `object` at the source (CKM_AES_KEY_WRAP_PAD) and unwraps it at the target, with all attributes that the
/// wrapping does not carry read from the source (cryptoki::readForCopy). The target's object is a token object or one
/// of the target's session, as asked. The wrapped key passes through this process in memory that is wiped. Any thread
/// that may use both sessions. Refused names the call and the answer; a member that is lost in it is told apart.
Copied transferKey(const TransferEnd& source, CK_OBJECT_HANDLE object, const TransferEnd& target, const Kind& kind,
                   bool asTokenObject);

}  // namespace p11ha::ha::domain
