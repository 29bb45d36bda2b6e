// Is a member that answered CKR_GENERAL_ERROR or the like still there?
#pragma once

#include "cryptoki/member.h"

namespace p11ha::cryptoki {

struct Health {
  bool alive = false;         // it answers C_GetSessionInfo and C_GetTokenInfo well
  bool sessionValid = false;  // the session asked about is known to it
  bool userLoggedIn = false;  // by the session's state
  Outcome failure;            // why not alive
};

/// A session's state says that the user is logged in.
constexpr bool isUsers(CK_STATE state) { return state == CKS_RO_USER_FUNCTIONS || state == CKS_RW_USER_FUNCTIONS; }

/// C_GetTokenInfo. Any thread.
Outcome readTokenInfo(Member& member, CK_TOKEN_INFO& info);

/// Asks with C_GetSessionInfo and C_GetTokenInfo (DESIGN.md, "Ask"). Two calls; any thread that may use the session.
Health probe(Member& member, CK_SESSION_HANDLE session);

}  // namespace p11ha::cryptoki
