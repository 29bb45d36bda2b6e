// Logging one member in with what the application gave to C_Login.
#pragma once

#include "ha/group.h"
#include "ha/judge.h"

namespace p11ha::ha {

/// Brings the member to the group's present login (or logout). CKR_OK: it is there, and the member's loginGeneration
/// says so. A token that shows CKF_USER_PIN_FINAL_TRY or _LOCKED is not given the PIN: CKR_PIN_LOCKED. Any thread that
/// may use the session.
cryptoki::Outcome logIn(Group& group, GroupMember& member, CK_SESSION_HANDLE session);

/// What has become of a member that answered a login of ours so. Pure.
/// None: nothing, it is logged in. Deactivated: nobody can log in there until it is activated, or its users have a PIN.
/// LoginRefused: it will answer so for as long as the login stays what it is. Dropped: it is lost, or may answer
/// otherwise next time; who is logged in there by another way of this process (a member's own slot) may log out again.
Loss lossOfLogin(const cryptoki::Outcome& outcome);

}  // namespace p11ha::ha
