// What an object is, as far as its attributes tell: pure. Whether two keys that look alike are the same key is proved
// elsewhere (key_proof.h), never guessed from here ("Identity" in CLONING.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cryptoki/template.h"
#include "halog/event.h"

namespace p11ha::ha {

struct Identity {
  CK_OBJECT_CLASS objectClass = CK_UNAVAILABLE_INFORMATION;
  CK_ULONG type = CK_UNAVAILABLE_INFORMATION;  // CKA_KEY_TYPE or CKA_CERTIFICATE_TYPE
  bool token = false;
  bool isPrivate = false;
  std::vector<std::uint8_t> label;
  std::vector<std::uint8_t> id;
  /// What the object is made of, in so far as it is public: all bytes of a public object, the modulus of an RSA private
  /// key, the public key of other private keys (ha/public_part.h, or showPublicPart() in
  /// ha/key_proof.h), the check value of a sensitive secret key.
  /// Empty: nothing tells.
  std::vector<std::uint8_t> material;
  /// Of a private key: its material is that of the public key beside it, and nobody has tried yet whether it is its
  /// own.
  bool lent = false;

  bool isKey() const { return objectClass == CKO_PRIVATE_KEY || objectClass == CKO_SECRET_KEY; }
  friend bool operator==(const Identity&, const Identity&) = default;
};

/// Is it one of p11ha's own token objects, which the application never sees: a domain key (CLONING.md, "The domain"),
/// or what somebody planted as one? CKA_ID tells: what looks like a domain key is of no use to an application.
bool isOwn(const Identity& identity);

/// The attributes an Identity is read from, for an object of that class and type.
std::vector<CK_ATTRIBUTE_TYPE> identityAttributes(CK_OBJECT_CLASS objectClass, CK_ULONG type);

/// From what was read. For private keys other than RSA the material is left empty (ha/public_part.h).
Identity identify(const cryptoki::Template& attributes);

/// The attributes that the material was made of.
cryptoki::Template materialAttributes(const Identity& identity);

/// How the log speaks of it.
halog::ObjectText describe(const Identity& identity);

}  // namespace p11ha::ha
