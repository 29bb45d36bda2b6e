// C_WrapKey by the convention of PKCS #11 v3.0, 5.2, and what it can carry.
#pragma once

#include "base/secure_bytes.h"
#include "cryptoki/member.h"

namespace p11ha::ha {

/// Wraps `key`: asks for the length only where the usual room is too small; `wrapped` is empty unless the rv is CKR_OK.
/// The outcome is the member's; CKR_GENERAL_ERROR, too, where it answers a length that no wrapped key has. Any thread
/// that may use the session; blocks as the member's calls do.
cryptoki::Outcome wrapKey(cryptoki::Member& member, CK_SESSION_HANDLE session, CK_MECHANISM& mechanism,
                          CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key, base::SecureBytes& wrapped);

/// Does a secret key of so many bytes come back from CKM_AES_KEY_WRAP_PAD as it was? That pads to whole blocks of RFC
/// 3394, and some tokens hand the padding out as part of the key.
constexpr bool survivesWrapping(CK_ULONG bytes) { return bytes % 8 == 0; }

}  // namespace p11ha::ha
