// Reading an object's attributes from a member.
#pragma once

#include "cryptoki/member.h"
#include "cryptoki/template.h"

namespace p11ha::cryptoki {

/// Reads those of the named attributes that the object has and reveals, in the order named, into `out` (whatever it
/// held before). Two calls of C_GetAttributeValue (PKCS #11 v3.0, 5.7.5), one more for each depth of nested templates;
/// again, a few times, if a value grew between them. Any thread that may use the session; blocks as the member's calls
/// do.
///
/// The outcome is that of the last call. CKR_OK even where some attributes were missing or sensitive: `out` tells which
/// came. CKR_ATTRIBUTE_TYPE_INVALID or _SENSITIVE: not one came. CKR_BUFFER_TOO_SMALL: the values never stopped
/// growing. CKR_GENERAL_ERROR: the member answered lengths beyond the bounds of a Template. Else what the member
/// answered. `out` is empty unless the rv is CKR_OK.
Outcome readAttributes(Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                       std::span<const CK_ATTRIBUTE_TYPE> types, Template& out);

}  // namespace p11ha::cryptoki
