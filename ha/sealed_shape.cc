#include "ha/sealed_shape.h"

#include <algorithm>

#include "ha/wrapping.h"

namespace p11ha::ha {

using cryptoki::Template;

namespace {

const CK_BBOOL* booleanOf(const CK_ATTRIBUTE& attribute) {
  if (attribute.pValue == nullptr || attribute.ulValueLen != sizeof(CK_BBOOL)) return nullptr;
  return static_cast<const CK_BBOOL*>(attribute.pValue);
}

// It says so, or says nothing; a value that is none, or a second one, is the member's to refuse.
bool saysAtMost(const Template& asked, CK_ATTRIBUTE_TYPE type, bool value) {
  return !asked.has(type) || (asked.occurrences(type) == 1 && asked.boolean(type) == value);
}
bool says(const Template& asked, CK_ATTRIBUTE_TYPE type, bool value) {
  return asked.has(type) && saysAtMost(asked, type, value);
}
bool isWellFormed(const Template& asked, CK_ATTRIBUTE_TYPE type) {
  return saysAtMost(asked, type, true) || saysAtMost(asked, type, false);
}

Template shaped(Template first, const Template& asked) {
  // In front: after MODIFIABLE=false SoftHSM 2.6.1 takes nothing more.
  for (const CK_ATTRIBUTE& attribute : asked.attributes()) {
    if (!first.has(attribute.type) && attribute.type != CKA_EXTRACTABLE) first.appendFrom(asked, attribute.type);
  }
  return first;
}

}  // namespace

bool isShape(CK_ATTRIBUTE_TYPE type) {
  return std::find(std::begin(kShape), std::end(kShape), type) != std::end(kShape);
}

bool namesShape(std::span<const CK_ATTRIBUTE> attributes) {
  return std::any_of(attributes.begin(), attributes.end(),
                     [](const CK_ATTRIBUTE& attribute) { return isShape(attribute.type); });
}

bool wouldReadOtherwise(std::span<const CK_ATTRIBUTE> answered, const notes::Truth& truth) {
  return std::any_of(answered.begin(), answered.end(), [&truth](const CK_ATTRIBUTE& attribute) {
    if (!isShape(attribute.type) || (attribute.type == CKA_SENSITIVE && !truth.notSensitive)) return false;
    const CK_BBOOL* const value = booleanOf(attribute);
    return value != nullptr && *value != CK_FALSE;
  });
}

void tellSealed(std::span<CK_ATTRIBUTE> answered, const notes::Truth& truth) {
  for (CK_ATTRIBUTE& attribute : answered) {
    if (!isShape(attribute.type) || booleanOf(attribute) == nullptr) continue;
    const bool value = (attribute.type == CKA_SENSITIVE && !truth.notSensitive) ||
                       (attribute.type == CKA_WRAP_WITH_TRUSTED && truth.wrapWithTrusted);
    *static_cast<CK_BBOOL*>(attribute.pValue) = value ? CK_TRUE : CK_FALSE;
  }
}

std::optional<domain::Kind> kindOfNew(const Template& asked, CK_OBJECT_CLASS objectClass) {
  if (objectClass != CKO_PRIVATE_KEY && objectClass != CKO_SECRET_KEY) return std::nullopt;
  if (!saysAtMost(asked, CKA_EXTRACTABLE, false) || !saysAtMost(asked, CKA_PRIVATE, true)) return std::nullopt;
  for (const CK_ATTRIBUTE_TYPE type : {CKA_SENSITIVE, CKA_WRAP_WITH_TRUSTED, CKA_DERIVE}) {
    if (!isWellFormed(asked, type)) return std::nullopt;
  }
  if (objectClass == CKO_SECRET_KEY) {
    const auto value = asked.find(CKA_VALUE);
    if ((value && !survivesWrapping(value->size())) || !survivesWrapping(asked.ulong(CKA_VALUE_LEN).value_or(0)))
      return std::nullopt;
  }
  return domain::Kind{domain::Seal::Sealed, objectClass, asked.boolean(CKA_DERIVE).value_or(false)};
}

Template sealedTemplate(const Template& asked) {
  Template first;
  for (const CK_ATTRIBUTE_TYPE type : {CKA_PRIVATE, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED})
    first.addBool(type, true);
  return shaped(std::move(first), asked);
}

base::Result<Template, CK_RV> changesOfSealed(const Template& asked, const notes::Truth& truth) {
  if (asked.has(CKA_EXTRACTABLE) && !saysAtMost(asked, CKA_EXTRACTABLE, false))
    return base::Failure{CK_RV{CKR_ATTRIBUTE_READ_ONLY}};
  Template changes = asked;
  for (const CK_ATTRIBUTE_TYPE type : {CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED}) {
    if (says(asked, type, false)) changes.setBool(type, true);
  }
  // A member takes no second SENSITIVE=true; of nothing at all it would make CKR_ARGUMENTS_BAD.
  if (truth.notSensitive && isWellFormed(asked, CKA_SENSITIVE) && changes.erase(CKA_SENSITIVE) && changes.empty())
    changes.addBool(CKA_EXTRACTABLE, true);
  return changes;
}

std::optional<domain::Kind> kindOfNarrowed(const Template& asked, const KeyNature& nature) {
  if (!nature.isKey() || !nature.extractable || nature.sealed()) return std::nullopt;
  if (!says(asked, CKA_EXTRACTABLE, false)) return std::nullopt;
  for (const CK_ATTRIBUTE_TYPE type : {CKA_SENSITIVE, CKA_WRAP_WITH_TRUSTED, CKA_DERIVE, CKA_PRIVATE}) {
    if (!isWellFormed(asked, type)) return std::nullopt;
  }
  // What the member would refuse is to be refused.
  if ((nature.sensitive && !saysAtMost(asked, CKA_SENSITIVE, true)) ||
      (nature.wrapWithTrusted && !saysAtMost(asked, CKA_WRAP_WITH_TRUSTED, true)))
    return std::nullopt;
  if (!asked.boolean(CKA_PRIVATE).value_or(nature.isPrivate)) return std::nullopt;
  if (nature.objectClass == CKO_SECRET_KEY && !survivesWrapping(nature.length)) return std::nullopt;
  return domain::Kind{domain::Seal::Sealed, nature.objectClass, asked.boolean(CKA_DERIVE).value_or(nature.derive)};
}

Template narrowingChanges(const Template& asked) {
  Template first;
  for (const CK_ATTRIBUTE_TYPE type : {CKA_SENSITIVE, CKA_WRAP_WITH_TRUSTED}) first.addBool(type, true);
  return shaped(std::move(first), asked);
}

}  // namespace p11ha::ha
