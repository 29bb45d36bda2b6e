#include "cryptoki/attribute.h"

#include <algorithm>
#include <array>

namespace p11ha::cryptoki {
namespace {

constexpr unsigned bit(CK_OBJECT_CLASS objectClass) { return 1U << objectClass; }

namespace attribute_rows {
constexpr unsigned None = 0;
constexpr unsigned Data = bit(CKO_DATA);
constexpr unsigned Certificate = bit(CKO_CERTIFICATE);
constexpr unsigned Public = bit(CKO_PUBLIC_KEY);
constexpr unsigned Private = bit(CKO_PRIVATE_KEY);
constexpr unsigned Secret = bit(CKO_SECRET_KEY);
constexpr unsigned Domain = bit(CKO_DOMAIN_PARAMETERS);
constexpr unsigned Keys = Public | Private | Secret;
constexpr unsigned All = Data | Certificate | Keys | Domain;

constexpr AttributeInfo inOrder[] = {
#define ATTRIBUTE(name, kind, part, classes) \
  {name, #name, AttributeKind::kind, CopyPart::part, static_cast<std::uint8_t>(classes)},
#include "cryptoki/attributes.def"
};
}  // namespace attribute_rows

constexpr std::size_t kAttributeCount = std::size(attribute_rows::inOrder);

constexpr auto kByType = [] {
  std::array<AttributeInfo, kAttributeCount> sorted{};
  std::copy(std::begin(attribute_rows::inOrder), std::end(attribute_rows::inOrder), sorted.begin());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.type < b.type; });
  return sorted;
}();

static_assert(std::adjacent_find(kByType.begin(), kByType.end(),
                                 [](const auto& a, const auto& b) { return a.type == b.type; }) == kByType.end(),
              "attributes.def: two rows for one attribute");

struct TypeList {
  std::array<CK_ATTRIBUTE_TYPE, kAttributeCount> types{};
  std::size_t count = 0;
  constexpr std::span<const CK_ATTRIBUTE_TYPE> span() const { return {types.data(), count}; }
};

template <CK_OBJECT_CLASS Class>
constexpr TypeList kCopy = [] {
  TypeList list;
  for (const bool last : {false, true}) {
    for (const AttributeInfo& row : attribute_rows::inOrder) {
      if ((row.classes & bit(Class)) != 0 && (row.part == CopyPart::Last) == last) list.types[list.count++] = row.type;
    }
  }
  return list;
}();

constexpr CK_ATTRIBUTE_TYPE kValue[] = {CKA_VALUE};
constexpr CK_ATTRIBUTE_TYPE kRsaPublic[] = {CKA_MODULUS, CKA_PUBLIC_EXPONENT};
constexpr CK_ATTRIBUTE_TYPE kRsaPrivate[] = {CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_PRIVATE_EXPONENT, CKA_PRIME_1,
                                             CKA_PRIME_2, CKA_EXPONENT_1,      CKA_EXPONENT_2,       CKA_COEFFICIENT};
constexpr CK_ATTRIBUTE_TYPE kEcPublic[] = {CKA_EC_PARAMS, CKA_EC_POINT};
constexpr CK_ATTRIBUTE_TYPE kEcPrivate[] = {CKA_EC_PARAMS, CKA_VALUE};
constexpr CK_ATTRIBUTE_TYPE kDsa[] = {CKA_PRIME, CKA_SUBPRIME, CKA_BASE, CKA_VALUE};
constexpr CK_ATTRIBUTE_TYPE kDh[] = {CKA_PRIME, CKA_BASE, CKA_VALUE};
constexpr CK_ATTRIBUTE_TYPE kGost[] = {CKA_GOSTR3410_PARAMS, CKA_GOSTR3411_PARAMS, CKA_GOST28147_PARAMS, CKA_VALUE};
constexpr CK_ATTRIBUTE_TYPE kPublicKeyInfo[] = {CKA_PUBLIC_KEY_INFO};
constexpr CK_ATTRIBUTE_TYPE kCheckValue[] = {CKA_CHECK_VALUE};
constexpr CK_ATTRIBUTE_TYPE kData[] = {CKA_APPLICATION, CKA_OBJECT_ID, CKA_VALUE};
constexpr CK_ATTRIBUTE_TYPE kDomain[] = {CKA_KEY_TYPE, CKA_PRIME, CKA_SUBPRIME, CKA_BASE, CKA_EC_PARAMS};

// A key pair's halves by type (PKCS #11 v3.0 current mechanisms, 2.1 to 2.5, and historical, 2.56).
struct KeyMaterial {
  CK_KEY_TYPE type;
  std::span<const CK_ATTRIBUTE_TYPE> publicKey;
  std::span<const CK_ATTRIBUTE_TYPE> privateKey;
};
constexpr KeyMaterial kKeyMaterial[] = {
    {CKK_RSA, kRsaPublic, kRsaPrivate},
    {CKK_DSA, kDsa, kDsa},
    {CKK_DH, kDh, kDh},
    {CKK_X9_42_DH, kDsa, kDsa},
    {CKK_EC, kEcPublic, kEcPrivate},
    {CKK_EC_EDWARDS, kEcPublic, kEcPrivate},
    {CKK_EC_MONTGOMERY, kEcPublic, kEcPrivate},
    {CKK_GOSTR3410, kGost, kGost},
};

const KeyMaterial* keyMaterial(CK_KEY_TYPE type) {
  const auto* found = std::find_if(std::begin(kKeyMaterial), std::end(kKeyMaterial),
                                   [type](const KeyMaterial& row) { return row.type == type; });
  return found == std::end(kKeyMaterial) ? nullptr : found;
}

}  // namespace

const AttributeInfo* attributeInfo(CK_ATTRIBUTE_TYPE type) {
  const auto* found = std::lower_bound(kByType.begin(), kByType.end(), type,
                                       [](const AttributeInfo& row, CK_ATTRIBUTE_TYPE t) { return row.type < t; });
  return found != kByType.end() && found->type == type ? found : nullptr;
}

std::span<const AttributeInfo> allAttributes() { return kByType; }

bool isTemplateAttribute(CK_ATTRIBUTE_TYPE type) {
  // Asked of every attribute of every template, and there are few: the bit tells most of them apart at once.
  if ((type & CKF_ARRAY_ATTRIBUTE) == 0) return false;
  const AttributeInfo* info = attributeInfo(type);
  return info != nullptr && info->kind == AttributeKind::Template;
}

std::string_view attributeName(CK_ATTRIBUTE_TYPE type) {
  const AttributeInfo* info = attributeInfo(type);
  return info != nullptr ? info->name : "unknown attribute";
}

std::string_view className(CK_OBJECT_CLASS objectClass) {
  switch (objectClass) {
#define OBJECT_CLASS(name) \
  case name:               \
    return #name;
#include "cryptoki/attributes.def"
    default:
      return "unknown object class";
  }
}

std::string_view keyTypeName(CK_KEY_TYPE keyType) {
  switch (keyType) {
#define KEY_TYPE(name) \
  case name:           \
    return #name;
#include "cryptoki/attributes.def"
    default:
      return "unknown key type";
  }
}

std::span<const CK_ATTRIBUTE_TYPE> copyAttributes(CK_OBJECT_CLASS objectClass) {
  switch (objectClass) {
    case CKO_DATA:
      return kCopy<CKO_DATA>.span();
    case CKO_CERTIFICATE:
      return kCopy<CKO_CERTIFICATE>.span();
    case CKO_PUBLIC_KEY:
      return kCopy<CKO_PUBLIC_KEY>.span();
    case CKO_PRIVATE_KEY:
      return kCopy<CKO_PRIVATE_KEY>.span();
    case CKO_SECRET_KEY:
      return kCopy<CKO_SECRET_KEY>.span();
    case CKO_DOMAIN_PARAMETERS:
      return kCopy<CKO_DOMAIN_PARAMETERS>.span();
    default:
      return {};
  }
}

std::span<const CK_ATTRIBUTE_TYPE> valueAttributes(CK_OBJECT_CLASS objectClass, CK_KEY_TYPE keyType) {
  if (objectClass == CKO_SECRET_KEY) return kValue;
  const KeyMaterial* material = objectClass == CKO_PRIVATE_KEY ? keyMaterial(keyType) : nullptr;
  return material != nullptr ? material->privateKey : std::span<const CK_ATTRIBUTE_TYPE>();
}

std::span<const CK_ATTRIBUTE_TYPE> fingerprintAttributes(CK_OBJECT_CLASS objectClass, CK_KEY_TYPE keyType) {
  switch (objectClass) {
    case CKO_DATA:
      return kData;
    case CKO_CERTIFICATE:
      return kValue;
    case CKO_SECRET_KEY:
      return kCheckValue;
    case CKO_DOMAIN_PARAMETERS:
      return kDomain;
    case CKO_PRIVATE_KEY:
      return keyType == CKK_RSA ? std::span<const CK_ATTRIBUTE_TYPE>(kRsaPublic) : kPublicKeyInfo;
    case CKO_PUBLIC_KEY: {
      const KeyMaterial* material = keyMaterial(keyType);
      return material != nullptr ? material->publicKey : std::span<const CK_ATTRIBUTE_TYPE>();
    }
    default:
      return {};
  }
}

}  // namespace p11ha::cryptoki
