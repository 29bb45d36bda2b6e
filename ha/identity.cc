#include "ha/identity.h"

#include <algorithm>
#include <array>

#include "cryptoki/attribute.h"
#include "ha/domain/generation.h"

namespace p11ha::ha {
namespace {

std::vector<std::uint8_t> bytesOf(const cryptoki::Template& attributes, CK_ATTRIBUTE_TYPE type) {
  const auto found = attributes.find(type);
  return found ? std::vector<std::uint8_t>(found->begin(), found->end()) : std::vector<std::uint8_t>();
}

void append(std::vector<std::uint8_t>& to, CK_ULONG number) {
  for (unsigned shift = 0; shift < 64; shift += 8) to.push_back(static_cast<std::uint8_t>(number >> shift));
}

}  // namespace

std::vector<CK_ATTRIBUTE_TYPE> identityAttributes(CK_OBJECT_CLASS objectClass, CK_ULONG type) {
  std::vector<CK_ATTRIBUTE_TYPE> types = {CKA_CLASS, CKA_TOKEN,    CKA_PRIVATE,         CKA_LABEL,
                                          CKA_ID,    CKA_KEY_TYPE, CKA_CERTIFICATE_TYPE};
  for (const CK_ATTRIBUTE_TYPE fingerprint : cryptoki::fingerprintAttributes(objectClass, type)) {
    if (fingerprint != CKA_ID && fingerprint != CKA_LABEL) types.push_back(fingerprint);
  }
  if (objectClass == CKO_SECRET_KEY) types.push_back(CKA_SENSITIVE);
  return types;
}

Identity identify(const cryptoki::Template& attributes) {
  Identity identity;
  identity.objectClass = attributes.ulong(CKA_CLASS).value_or(CK_UNAVAILABLE_INFORMATION);
  identity.type = attributes.ulong(identity.objectClass == CKO_CERTIFICATE ? CKA_CERTIFICATE_TYPE : CKA_KEY_TYPE)
                      .value_or(CK_UNAVAILABLE_INFORMATION);
  identity.token = attributes.boolean(CKA_TOKEN).value_or(false);
  identity.isPrivate = attributes.boolean(CKA_PRIVATE).value_or(false);
  identity.label = bytesOf(attributes, CKA_LABEL);
  identity.id = bytesOf(attributes, CKA_ID);
  // SoftHSM 2.6.1 gives a derived key another check value than one of the same bytes that is created, as copies of keys
  // are that can be read: its copy would be taken for another key. Without one, the name makes the claim, which is
  // proved.
  if (identity.objectClass == CKO_SECRET_KEY && attributes.boolean(CKA_SENSITIVE) == false) return identity;
  for (const CK_ATTRIBUTE_TYPE type : cryptoki::fingerprintAttributes(identity.objectClass, identity.type)) {
    const auto value = attributes.find(type);
    if (!value || value->empty()) {
      // A key whose fingerprint is not complete has none; a data object may well lack its application.
      if (identity.isKey() || identity.objectClass == CKO_PUBLIC_KEY) return identity.material.clear(), identity;
      continue;
    }
    append(identity.material, type);
    append(identity.material, value->size());
    identity.material.insert(identity.material.end(), value->begin(), value->end());
  }
  return identity;
}

bool isOwn(const Identity& identity) {
  return identity.objectClass == CKO_SECRET_KEY && identity.token &&
         std::equal(identity.id.begin(), identity.id.end(), domain::kDomainKeyId.begin(), domain::kDomainKeyId.end());
}

cryptoki::Template materialAttributes(const Identity& identity) {
  cryptoki::Template attributes;
  const std::span<const std::uint8_t> material = identity.material;
  const auto number = [&](std::size_t at) {
    CK_ULONG value = 0;
    for (unsigned i = 0; i < 8; ++i) value |= CK_ULONG{material[at + i]} << (8 * i);
    return value;
  };
  for (std::size_t at = 0; at + 16 <= material.size();) {
    const CK_ULONG type = number(at);
    const CK_ULONG length = number(at + 8);
    attributes.addBytes(type, material.subspan(at + 16, length));
    at += 16 + length;
  }
  return attributes;
}

halog::ObjectText describe(const Identity& identity) {
  static constexpr std::array kDigits = {'0', '1', '2', '3', '4', '5', '6', '7',
                                         '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
  halog::ObjectText text;
  text.label.assign(identity.label.begin(), identity.label.end());
  text.objectClass = cryptoki::className(identity.objectClass);
  for (const std::uint8_t byte : identity.id) {
    text.id += kDigits[byte >> 4];
    text.id += kDigits[byte & 15];
  }
  return text;
}

}  // namespace p11ha::ha
