// Reading an object's attributes from a member.
#pragma once

#include "cryptoki/member.h"
#include "cryptoki/template.h"

namespace p11ha::cryptoki {

/// Members answer so to C_GetAttributeValue, and fill in what there is (PKCS #11 v3.0, 5.7.5).
bool carriesValues(CK_RV rv);

/// Reads those of the named attributes that the object has and reveals, in the order named, into `out` (whatever it
/// held before). One call of C_GetAttributeValue (PKCS #11 v3.0, 5.7.5) where the kinds of all tell how long they are,
/// else two, and one more for each depth of nested templates; again, a few times, if a value grew between them; and one
/// by one if the member fails over some attribute (SoftHSM 2.6.1 answers CKR_GENERAL_ERROR to a whole call that asks
/// for the dates of a private object): that one is left out. Any thread that may use the session; blocks as the
/// member's calls do.
///
/// The outcome is that of the last call. CKR_OK even where some attributes were missing or sensitive: `out` tells which
/// came. CKR_ATTRIBUTE_TYPE_INVALID or _SENSITIVE: not one came. CKR_BUFFER_TOO_SMALL: the values never stopped
/// growing. CKR_GENERAL_ERROR: the member answered lengths beyond the bounds of a Template, or just that. Else what the
/// member answered. `out` is empty unless the rv is CKR_OK.
Outcome readAttributes(Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                       std::span<const CK_ATTRIBUTE_TYPE> types, Template& out);

/// With the key itself, for a key whose value can be read, or without it, for one that travels wrapped.
enum class CopyValue : std::uint8_t { Without, With };

/// Reads what makes an equal object on another token: copyAttributes(), With the value also valueAttributes() (before
/// those that come last), as a template to be given as it is. Empty values are left out: they are every attribute's
/// default, and SoftHSM takes no empty ALLOWED_MECHANISMS. Else as readAttributes(); CKR_ATTRIBUTE_SENSITIVE also if
/// the value is asked for and hidden, or of a key type not known.
Outcome readForCopy(Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_OBJECT_CLASS objectClass,
                    CopyValue value, Template& out);

}  // namespace p11ha::cryptoki
