#include "ha/domain/key_template.h"

#include <algorithm>
#include <cstring>

namespace p11ha::ha::domain {

using cryptoki::Template;

namespace {

constexpr CK_ULONG kKeyBytes = 32;
constexpr CK_MECHANISM_TYPE kOnlyMechanism[] = {CKM_AES_KEY_WRAP_PAD};

Template wrapTemplate(const Kind& kind) {
  Template carried;
  carried.addUlong(CKA_CLASS, kind.carries);
  carried.addBool(CKA_PRIVATE, true);
  carried.addBool(CKA_DERIVE, kind.derive);
  return carried;
}

Template unwrapTemplate(const Kind& kind) {
  Template carried = wrapTemplate(kind);
  carried.addBool(CKA_SENSITIVE, true);
  carried.addBool(kind.seal == Seal::Sealed ? CKA_WRAP_WITH_TRUSTED : CKA_EXTRACTABLE, true);
  return carried;
}

// What makes a domain key safe, but for the attributes that say who may see it.
Template nature(const Kind& kind) {
  const bool sealed = kind.seal == Seal::Sealed;
  Template key;
  key.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  key.addUlong(CKA_KEY_TYPE, CKK_AES);
  key.addBool(CKA_PRIVATE, !sealed);
  key.addBool(CKA_SENSITIVE, true);
  key.addBool(CKA_EXTRACTABLE, false);
  key.addBool(CKA_WRAP, true);
  key.addBool(CKA_UNWRAP, true);
  for (const CK_ATTRIBUTE_TYPE use : {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_DERIVE}) {
    key.addBool(use, false);
  }
  if (sealed) key.addBool(CKA_TRUSTED, true);
  key.addTemplate(CKA_WRAP_TEMPLATE, wrapTemplate(kind));
  key.addTemplate(CKA_UNWRAP_TEMPLATE, unwrapTemplate(kind));
  key.addUlongs(CKA_ALLOWED_MECHANISMS, kOnlyMechanism);
  key.addBool(CKA_COPYABLE, false);
  key.addBool(CKA_DESTROYABLE, false);
  key.addBool(CKA_MODIFIABLE, false);
  return key;
}

bool sameValue(const CK_ATTRIBUTE& a, const CK_ATTRIBUTE& b) {
  return a.type == b.type && a.ulValueLen == b.ulValueLen &&
         (a.ulValueLen == 0 || std::memcmp(a.pValue, b.pValue, a.ulValueLen) == 0);
}

// The same attributes, in whatever order the token keeps them.
bool sameSet(const Template& a, const Template& b) {
  return a.count() == b.count() && std::all_of(a.attributes().begin(), a.attributes().end(), [&b](const auto& x) {
           return std::any_of(b.attributes().begin(), b.attributes().end(),
                              [&x](const auto& y) { return sameValue(x, y); });
         });
}

bool holds(const Template& attributes, const Template& wanted, const CK_ATTRIBUTE& attribute) {
  if (const Template* const nested = wanted.nested(attribute.type)) {
    const Template* const found = attributes.nested(attribute.type);
    return found != nullptr && sameSet(*found, *nested);
  }
  const auto value = attributes.find(attribute.type);
  const auto right = wanted.find(attribute.type);
  return value && right && std::equal(value->begin(), value->end(), right->begin(), right->end());
}

}  // namespace

Template domainKeyTemplate(const Generation& generation, const Kind& kind, Lifetime lifetime) {
  Template key;
  key.addBool(CKA_TOKEN, lifetime == Lifetime::Token);
  key.addText(CKA_LABEL, labelOf(generation, kind));
  key.addText(CKA_ID, kDomainKeyId);
  key.append(nature(kind));
  return key;
}

std::span<const CK_ATTRIBUTE_TYPE> domainKeyAttributes() {
  static constexpr CK_ATTRIBUTE_TYPE kTypes[] = {
      CKA_CLASS,      CKA_KEY_TYPE,          CKA_TOKEN,       CKA_PRIVATE,       CKA_LABEL,
      CKA_ID,         CKA_SENSITIVE,         CKA_EXTRACTABLE, CKA_WRAP,          CKA_UNWRAP,
      CKA_ENCRYPT,    CKA_DECRYPT,           CKA_SIGN,        CKA_VERIFY,        CKA_DERIVE,
      CKA_TRUSTED,    CKA_COPYABLE,          CKA_DESTROYABLE, CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE,
      CKA_MODIFIABLE, CKA_ALLOWED_MECHANISMS};
  return kTypes;
}

bool isDomainKey(const Template& attributes, const Kind& kind) {
  const Template wanted = nature(kind);
  for (const CK_ATTRIBUTE& attribute : wanted.attributes()) {
    const bool needed = kind.seal == Seal::Sealed || attribute.type == CKA_PRIVATE || attribute.type == CKA_SENSITIVE ||
                        attribute.type == CKA_EXTRACTABLE;
    if (!needed && !attributes.has(attribute.type)) continue;
    if (!holds(attributes, wanted, attribute)) return false;
  }
  return attributes.boolean(CKA_TOKEN).value_or(false);
}

Template handedOverTemplate(bool trustedOnly) {
  Template key;
  key.addUlong(CKA_VALUE_LEN, kKeyBytes);
  key.addBool(CKA_TOKEN, false);
  key.addBool(CKA_PRIVATE, false);
  key.addBool(CKA_SENSITIVE, true);
  key.addBool(CKA_EXTRACTABLE, true);
  if (trustedOnly) key.addBool(CKA_WRAP_WITH_TRUSTED, true);
  for (const CK_ATTRIBUTE_TYPE use :
       {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE}) {
    key.addBool(use, false);
  }
  return key;
}

}  // namespace p11ha::ha::domain
