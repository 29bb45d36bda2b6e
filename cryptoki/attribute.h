// attributes.def as tables: what is known of each attribute, and which of an object's attributes make an equal object
// on another token. All of it is constant: any thread, nothing fails.
#pragma once

#include <span>
#include <string_view>

#include "cryptoki/pkcs11.h"

namespace p11ha::cryptoki {

/// What an attribute's value is (PKCS #11 v3.0, 4.1).
enum class AttributeKind : std::uint8_t { Bool, Ulong, Bytes, BigInteger, Date, Template, MechanismList };

/// An attribute's part in copying an object: see attributes.def.
enum class CopyPart : std::uint8_t { Given, Material, Officer, Derived, Last };

/// A row of attributes.def. Static storage.
struct AttributeInfo {
  CK_ATTRIBUTE_TYPE type = 0;
  std::string_view name;
  AttributeKind kind{};
  CopyPart part{};
  std::uint8_t classes = 0;  // bit of each CK_OBJECT_CLASS in whose copying template it is given
};

/// The row of an attribute, or nullptr if the table has none (vendor attributes).
const AttributeInfo* attributeInfo(CK_ATTRIBUTE_TYPE type);

/// All rows, by type.
std::span<const AttributeInfo> allAttributes();

/// Is its value an array of CK_ATTRIBUTE? Only of attributes in the table: the bit CKF_ARRAY_ATTRIBUTE does not tell,
/// as ALLOWED_MECHANISMS and all of NSS's own have it too.
bool isTemplateAttribute(CK_ATTRIBUTE_TYPE type);

/// Names for messages, "CKA_LABEL"; "unknown ..." where there is none (show the number with it).
std::string_view attributeName(CK_ATTRIBUTE_TYPE type);
std::string_view className(CK_OBJECT_CLASS objectClass);
std::string_view keyTypeName(CK_KEY_TYPE keyType);

/// What to read of an object on one token and to give on another so as to make an equal object, in the order in which
/// to give it. For certificates, public keys, data and domain parameters that is everything, for C_CreateObject. For
/// private and secret keys it is everything but the key itself: the template for C_UnwrapKey, or for C_CreateObject
/// together with valueAttributes(). Left out are what a token derives and what only the Security Officer may set
/// (TRUSTED). Empty for classes that are not copied.
std::span<const CK_ATTRIBUTE_TYPE> copyAttributes(CK_OBJECT_CLASS objectClass);

/// The attributes that hold the key itself: readable where it is not sensitive. A secret key's are the same for all
/// types. Empty for other classes and for key types not known.
std::span<const CK_ATTRIBUTE_TYPE> valueAttributes(CK_OBJECT_CLASS objectClass, CK_KEY_TYPE keyType);

/// The attributes that tell what an object is, whatever its label: equal values, all of them there, mean the same
/// object. A private key other than RSA has only PUBLIC_KEY_INFO, and a secret key CHECK_VALUE (three bytes: a hint):
/// an object that lacks it, or has it empty (SoftHSM's EC keys), is to be identified otherwise. Empty for classes not
/// copied and for public keys of types not known.
std::span<const CK_ATTRIBUTE_TYPE> fingerprintAttributes(CK_OBJECT_CLASS objectClass, CK_KEY_TYPE keyType);

}  // namespace p11ha::cryptoki
