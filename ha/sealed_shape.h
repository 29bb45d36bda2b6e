// The shape of keys which the application asked to be non-extractable, and what it reads of them: pure ("The truth the
// application reads" in CLONING.md).
//
// So that such a key can travel between members under a sealed domain key, they hold it as SENSITIVE, EXTRACTABLE and
// WRAP_WITH_TRUSTED, which no key but a trusted one can wrap. The shape itself is the record: whoever reads these three
// together, in whichever process, is told EXTRACTABLE=false and WRAP_WITH_TRUSTED=false. Where something else was asked
// (that very shape, SENSITIVE=false, WRAP_WITH_TRUSTED), a record says so (notes/note.h).
#pragma once

#include <optional>
#include <span>

#include "base/result.h"
#include "cryptoki/template.h"
#include "ha/domain/generation.h"
#include "ha/notes/note.h"

namespace p11ha::ha {

/// What of a key decides how it is read, may be changed and travels. What the member does not show is false, or none.
struct KeyNature {
  CK_OBJECT_CLASS objectClass = CK_UNAVAILABLE_INFORMATION;
  bool isPrivate = false;
  bool sensitive = false;
  bool extractable = false;
  bool wrapWithTrusted = false;
  bool derive = false;
  CK_ULONG length = 0;  // CKA_VALUE_LEN

  bool isKey() const { return objectClass == CKO_PRIVATE_KEY || objectClass == CKO_SECRET_KEY; }
  bool sealed() const { return isKey() && sensitive && extractable && wrapWithTrusted; }
};

/// The attributes that make the shape.
inline constexpr CK_ATTRIBUTE_TYPE kShape[] = {CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED};
bool isShape(CK_ATTRIBUTE_TYPE type);
bool namesShape(std::span<const CK_ATTRIBUTE> attributes);

/// Of what a member answered to C_GetAttributeValue: would it read otherwise, if the key is a sealed one of that truth?
bool wouldReadOtherwise(std::span<const CK_ATTRIBUTE> answered, const notes::Truth& truth);
/// Puts the truth about a sealed key in its place.
void tellSealed(std::span<CK_ATTRIBUTE> answered, const notes::Truth& truth);

/// The kind of domain key that would carry a key of that class made from this template; nothing where it is not to be
/// made in the sealed shape: it is asked to be extractable, public, or not as a template should be; or
/// CKM_AES_KEY_WRAP_PAD would not give it back as it was. EXTRACTABLE is false, and PRIVATE true, where the template
/// does not say.
std::optional<domain::Kind> kindOfNew(const cryptoki::Template& asked, CK_OBJECT_CLASS objectClass);
/// The same template for the sealed shape.
cryptoki::Template sealedTemplate(const cryptoki::Template& asked);

/// The changes of C_SetAttributeValue or C_CopyObject as the members of a sealed key of that truth are to be given
/// them: what is so already for the application, or is for the record only, is left as they have it.
/// CKR_ATTRIBUTE_READ_ONLY: it would become extractable (PKCS #11 v3.0, table 10, note 12).
base::Result<cryptoki::Template, CK_RV> changesOfSealed(const cryptoki::Template& asked, const notes::Truth& truth);
/// The kind of domain key that would carry a key of that nature after these changes, if they make an extractable key
/// non-extractable; else nothing, and they are given as they are.
std::optional<domain::Kind> kindOfNarrowed(const cryptoki::Template& asked, const KeyNature& nature);
/// These changes, so that they end in the sealed shape.
cryptoki::Template narrowingChanges(const cryptoki::Template& asked);

}  // namespace p11ha::ha
