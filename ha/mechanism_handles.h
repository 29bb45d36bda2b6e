// Object handles inside mechanism parameters (CKM_CONCATENATE_BASE_AND_KEY, HKDF's salt key ...): virtual in the
// application's call, the member's own in what the member is given.
#pragma once

#include <optional>

#include "cryptoki/owned_mechanism.h"
#include "ha/catalog.h"

namespace p11ha::ha {

/// Does the mechanism's parameter name objects?
bool namesObjects(const cryptoki::OwnedMechanism& mechanism);

/// The mechanism as that member understands it; nothing if the member lacks an object it names.
std::optional<cryptoki::OwnedMechanism> translate(const cryptoki::OwnedMechanism& mechanism, Group& group,
                                                  Catalog& catalog, GroupMember& member, std::uint32_t epoch);

}  // namespace p11ha::ha
