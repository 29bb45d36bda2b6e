// Which domain keys a member holds (CLONING.md, "The domain").
#pragma once

#include <optional>
#include <vector>

#include "ha/domain/generation.h"
#include "ha/domain/on_token.h"

namespace p11ha::ha::domain {

struct HeldKey {
  Generation generation;
  Kind kind;
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
};

/// The domain keys of one member.
struct Holding {
  std::vector<HeldKey> keys;
  /// Labels of objects that are called domain keys and are none: somebody planted them.
  std::vector<std::string> planted;

  const HeldKey* find(const Generation& generation, const Kind& kind) const;
  /// Holds all kinds of that generation (sealed and open; or those of one seal).
  bool complete(const Generation& generation) const;
  bool complete(const Generation& generation, Seal seal) const;
  /// Each once, the newest first.
  std::vector<Generation> generations() const;
};

/// Reads them, in one search (find is O(N)) for their common CKA_ID, and one reading of attributes for each found. The
/// session needs no login for sealed keys, which are public, and the user's for open ones; it must have no search
/// active. The outcome is the member's.
///
/// What is planted here is believed no more than whoever can have planted it: a sealed key must be TRUSTED and all else
/// that its template says, which a token lets only the Security Officer set (admission.h tries), so that neither a
/// holder of the user PIN nor somebody who is not logged in can make one. An open key must be PRIVATE, so that planting
/// one takes the user PIN. It gains nothing that the user PIN does not give: such a key carries only what the
/// application made extractable, and whoever is logged in can wrap that under any key of its own. It may make transfers
/// fail (the other end has another key of that name, or none), as a holder of the user PIN can by destroying the keys
/// themselves; never does it make p11ha take anything for sealed.
cryptoki::Outcome readHolding(const OnToken& token, Holding& out);

}  // namespace p11ha::ha::domain
