// What a secret key was seen to do, so that it is known again when nobody else holds it.
#pragma once

#include <array>
#include <cstddef>

#include "base/secure_bytes.h"
#include "cryptoki/pkcs11.h"

namespace p11ha::ha {

/// A key that makes the same answer of the salt is the same key ("Identity" in CLONING.md). Kept in wiped memory,
/// and in private notes on the members (notes/note.h); says nothing about the key to whoever does not have it, unless
/// it is a key that can be guessed.
struct Witness {
  std::size_t way = 0;  // of key_proof.cc, whose order stays as it is
  std::array<CK_BYTE, 32> salt{};
  base::SecureBytes answer;

  friend bool operator==(const Witness&, const Witness&) = default;
};

}  // namespace p11ha::ha
