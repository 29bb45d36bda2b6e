// Are two keys on two members the same key? Proved by using them ("Identity" in CLONING.md).
#pragma once

#include <optional>
#include <vector>

#include "base/result.h"
#include "ha/group.h"
#include "ha/witness.h"

namespace p11ha::ha {

enum class Proof : std::uint8_t {
  Same,
  Different,
  Impossible,   // neither key can be used in a way that shows it
  Unreachable,  // a member did not answer, or could not just now: another time
};

/// A key on a member, with a session to use it in that nobody else uses meanwhile.
struct KeyOn {
  GroupMember& member;
  CK_SESSION_HANDLE session;
  CK_OBJECT_HANDLE key;
};

/// Is the private key on this member the one whose public key `identity` has as its material? It signs, or decrypts,
/// what that public key, made anew from the material as a session object beside it, must accept; or, on a curve, agrees
/// on a secret with a throw-away key that is given the material. `credentials`: for a
/// key that wants to be authenticated for each use (CKA_ALWAYS_AUTHENTICATE), else null.
Proof provePrivateKey(const Identity& identity, const KeyOn& candidate, const Credentials* credentials);

/// What a private key on a curve is made of, as Identity::material has it: two of its signatures give it away. Else
/// Proof::Impossible, as where it may not sign, or Proof::Unreachable.
base::Result<std::vector<std::uint8_t>, Proof> showPublicPart(const KeyOn& key, const Credentials* credentials);

/// Are these two secret keys equal? Both are digested behind a random salt, else must give the same MAC or the same
/// ciphertext.
Proof proveSecretKey(const KeyOn& reference, const KeyOn& candidate);

/// The same, where what the reference once gave is all there is of it.
Proof proveSecretKey(const Witness& reference, const KeyOn& candidate);

/// What the key gives to be known by. Its answer is empty if there is no way to use it so; nothing: the member did not
/// answer.
std::optional<Witness> bearWitness(const KeyOn& key);

}  // namespace p11ha::ha
