// Which public key is whose: for private keys that show none themselves, as SoftHSM's on curves do not.
#pragma once

#include <vector>

#include "ha/identity.h"

namespace p11ha::ha {

/// A private key that may belong to any of several public keys, or to one that only its label tells of: the keys to be
/// tried, the likeliest first.
struct Undecided {
  std::size_t key = 0;                  // its place in the list
  std::vector<std::size_t> publicKeys;  // theirs
};

/// Pure. A private key without material gets that of the public key with its type and CKA_ID, as lent, where either is
/// the only one of its kind there; all others that may have one are returned.
std::vector<Undecided> lendMaterial(std::vector<Identity>& identities);

}  // namespace p11ha::ha
