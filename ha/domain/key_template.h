// The templates of domain keys, and how one is known again (CLONING.md, "The domain").
#pragma once

#include <span>

#include "cryptoki/template.h"
#include "ha/domain/generation.h"

namespace p11ha::ha::domain {

enum class Lifetime : std::uint8_t { Session, Token };

/// For C_UnwrapKey that makes a domain key what it is to be for good.
///
/// Sealed: the Security Officer gives it, the only one who may set TRUSTED, and who makes public objects only (PKCS #11
/// v3.0, 5.6.8, table of session types): PRIVATE=false. Being public and known to everybody is no loss: it is
/// sensitive, not extractable, and of no use but for wrapping and unwrapping under its templates.
///
/// Open: the user gives it, PRIVATE=true, so that nobody who is not logged in can plant one.
///
/// Order matters: after MODIFIABLE=false SoftHSM 2.6.1 answers CKR_ATTRIBUTE_READ_ONLY to whatever follows in a
/// template. (It copies nothing, either, that is not modifiable; COPYABLE=false is for others. Of an attribute given
/// twice it takes the last, and to one that UNWRAP_TEMPLATE names it answers CKR_TEMPLATE_INCONSISTENT then, as where
/// it is left out.)
cryptoki::Template domainKeyTemplate(const Generation& generation, const Kind& kind, Lifetime lifetime);

/// What is read of an object to know a domain key.
std::span<const CK_ATTRIBUTE_TYPE> domainKeyAttributes();

/// Is an object with these attributes a domain key of that kind? Of a sealed one every attribute of its template must
/// be there and be right, above all TRUSTED: that is what nobody but the Security Officer can have given. Of an open
/// one those that the token shows: PRIVATE, SENSITIVE and EXTRACTABLE=false must be among them. Pure.
bool isDomainKey(const cryptoki::Template& attributes, const Kind& kind);

/// For C_GenerateKey of the key that is handed over, wrapped, and ends with the session. `trustedOnly`: only a trusted
/// key may wrap it (a token whose Security Officer is not at hand has none).
cryptoki::Template handedOverTemplate(bool trustedOnly);

}  // namespace p11ha::ha::domain
