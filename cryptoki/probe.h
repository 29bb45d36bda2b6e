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

/// Asks with C_GetSessionInfo and C_GetTokenInfo (DESIGN.md, "Ask"). Two calls; any thread that may use the session.
Health probe(Member& member, CK_SESSION_HANDLE session);

}  // namespace p11ha::cryptoki
