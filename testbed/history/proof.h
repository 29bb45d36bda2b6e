// What a key answers to a question that is always the same: by that it is known wherever it is, and seen to work.
#pragma once

#include <optional>
#include <string>

#include "testbed/history/token.h"

namespace p11ha::history {

struct Proof {
  Bytes answer;       // empty for what is no secret and no private key
  CK_RV rv = CKR_OK;  // of the first call that failed
};

/// Asks the key on the token. Attributes: its class and type.
Proof prove(const Token& token, CK_OBJECT_HANDLE object, const Attributes& attributes);

/// What a secret key (AES-256 or generic) of that value answers, by OpenSSL.
Bytes proofOfValue(CK_KEY_TYPE type, const Bytes& value);

/// What a private key answered fits the public key of these attributes (EC P-256 or RSA).
bool fits(const Attributes& publicKey, const Bytes& answer);

/// The attributes of a public key that say which one it is.
Attributes publicParts(const Attributes& publicKey);

/// CKA_EC_PARAMS of P-256.
Bytes p256();
/// CKA_EC_POINT of a new key pair on it.
Bytes newPoint();

}  // namespace p11ha::history
