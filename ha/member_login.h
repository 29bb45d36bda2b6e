// Logging one member in with what the application gave to C_Login.
#pragma once

#include "ha/group.h"

namespace p11ha::ha {

/// Brings the member to the group's present login (or logout). CKR_OK: it is there, and the member's loginGeneration
/// says so. A token that shows CKF_USER_PIN_FINAL_TRY or _LOCKED is not given the PIN: CKR_PIN_LOCKED. Any thread that
/// may use the session.
cryptoki::Outcome logIn(Group& group, GroupMember& member, CK_SESSION_HANDLE session);

/// Will the member answer so for as long as the login stays what it is? Pure. Who is logged in there by another way of
/// this process (a member's own slot) may log out again.
bool refusesLogin(const cryptoki::Outcome& outcome);

}  // namespace p11ha::ha
