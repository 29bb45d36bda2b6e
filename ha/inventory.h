// What a member holds, read in one pass.
#pragma once

#include <functional>
#include <vector>

#include "cryptoki/member.h"
#include "ha/identity.h"

namespace p11ha::ha {

/// More objects than any search is believed to find: a member that goes on is lying.
inline constexpr std::size_t kMaxFound = std::size_t{1} << 20;

struct InventoryEntry {
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  Identity identity;
};

/// Lists the handles of all objects the session can see that match `query`. Blocks as the member's calls do; the
/// session must have no search active.
cryptoki::Outcome listObjects(cryptoki::Member& member, CK_SESSION_HANDLE session, cryptoki::Template& query,
                              std::vector<CK_OBJECT_HANDLE>& handles);

/// Reads the identities of the objects whose handles `wanted` asks for. An object that vanishes meanwhile is left out.
cryptoki::Outcome readInventory(cryptoki::Member& member, CK_SESSION_HANDLE session,
                                const std::function<bool(CK_OBJECT_HANDLE)>& wanted,
                                std::vector<InventoryEntry>& entries);

/// Reads one object's identity; for a private key other than RSA without its material.
cryptoki::Outcome readIdentity(cryptoki::Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                               Identity& identity);

}  // namespace p11ha::ha
