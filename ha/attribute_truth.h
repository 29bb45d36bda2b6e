// The attributes that a key's record speaks of, and how they are read and searched for: pure ("The truth the
// application reads" in CLONING.md).
#pragma once

#include <span>

#include "cryptoki/template.h"
#include "ha/notes/note.h"

namespace p11ha::ha {

/// CKA_LOCAL, CKA_KEY_GEN_MECHANISM, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_VALUE_LEN: a clone of a key may
/// hold them otherwise than the key itself.
bool isRecorded(CK_ATTRIBUTE_TYPE type);
bool namesRecorded(std::span<const CK_ATTRIBUTE> attributes);

/// What a member answered of them to C_GetAttributeValue; where it showed none, the default.
notes::Truth truthIn(std::span<const CK_ATTRIBUTE> answered);
/// What two members say of one key, where nothing tells which of them is right: the stricter reading, and the only
/// length.
notes::Truth inCommon(const notes::Truth& one, const notes::Truth& other);

/// Puts the truth in place of what a member answered of them.
void tellRecorded(std::span<CK_ATTRIBUTE> answered, const notes::Truth& truth);

/// Does the template ask for a key that is by itself in the shape of a sealed one (sealed_shape.h)?
bool asksForShape(const cryptoki::Template& asked);
/// What the application reads otherwise of the sealed key that is made for it in place of what this template asks for,
/// added to what else is true of it.
notes::Truth withSealed(notes::Truth truth, const cryptoki::Template& asked);
/// The truth of a key that was generated as `made` says. `asked`: the application's template, where the key is a sealed
/// one in its place; else null.
notes::Truth truthOfGenerated(const notes::Truth& made, const cryptoki::Template& given,
                              const cryptoki::Template* asked);
/// Of one that was derived from a key: it never was in the open if neither of them was (PKCS #11 v3.0, 5.18.5).
notes::Truth truthOfDerived(const notes::Truth& base, bool sensitive, bool extractable);

/// A search that names attributes which members may hold otherwise than the application reads them.
struct TruthSearch {
  cryptoki::Template query;
  /// Without what records speak of: finds all that could be meant, beside sealed keys.
  cryptoki::Template apart;
  /// All sealed keys that could be meant.
  cryptoki::Template sealed;
  /// CKA_VALUE_LEN alone, if it is named: finds what is of that length on the member itself.
  cryptoki::Template length;
  bool namesRecorded = false;
  bool namesShape = false;

  bool needed() const { return namesRecorded || namesShape; }
  /// Is a key of that class and truth, sealed or not, one of those that are searched for, as far as these attributes
  /// tell? `fitsLength`: the member finds it by `length`.
  bool admits(CK_OBJECT_CLASS objectClass, const notes::Truth& truth, bool isSealed, bool fitsLength) const;
};
TruthSearch truthSearch(const cryptoki::Template& query);

}  // namespace p11ha::ha
