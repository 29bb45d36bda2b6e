#include "transport/codec/templates.h"

#include "cryptoki/attribute.h"
#include "cryptoki/template.h"
#include "cryptoki/unaligned.h"

namespace p11ha::transport {
namespace {

constexpr std::size_t kLeastEncoded = sizeof(std::uint64_t) + 1 + sizeof(std::uint64_t);

Pointed howItGoes(const CK_ATTRIBUTE& attribute) {
  if (attribute.pValue == nullptr) return Pointed::Null;
  return cryptoki::isTemplateAttribute(attribute.type) ? Pointed::Nested : Pointed::There;
}

// Each level: is there anything, and may there be that much of it?
CK_RV enter(const CK_ATTRIBUTE* attributes, CK_ULONG count, std::size_t depth, Encoding& encoding) {
  if (attributes == nullptr || count == 0) return CKR_OK;
  if (depth > cryptoki::kMaxTemplateDepth) return CKR_ATTRIBUTE_VALUE_INVALID;
  if (count > encoding.attributes) return depth == 1 ? CKR_ARGUMENTS_BAD : CKR_ATTRIBUTE_VALUE_INVALID;
  encoding.attributes -= count;
  return encoding.fits(count * kLeastEncoded) ? CKR_OK : CKR_HOST_MEMORY;
}

bool enter(CK_ULONG count, std::size_t depth, Decoding& decoding) {
  if (count == 0) return true;
  if (depth > cryptoki::kMaxTemplateDepth) return decoding.fail(DecodeError::TooDeep);
  if (count > decoding.attributes) return decoding.fail(DecodeError::TooLarge);
  decoding.attributes -= count;
  return count <= decoding.from.left() / kLeastEncoded;
}

CK_RV encodeIn(const CK_ATTRIBUTE* attributes, CK_ULONG count, std::size_t depth, Encoding& encoding) {
  if (const CK_RV rv = enter(attributes, count, depth, encoding); rv != CKR_OK) return rv;
  for (CK_ULONG i = 0; i < count; ++i) {
    const auto attribute = cryptoki::load<CK_ATTRIBUTE>(attributes + i);
    const Pointed pointed = howItGoes(attribute);
    encoding.putUlong(attribute.type);
    encoding.put(pointed);
    encoding.putUlong(attribute.ulValueLen);
    if (pointed == Pointed::There && !encoding.putBytes(attribute.pValue, attribute.ulValueLen)) return CKR_HOST_MEMORY;
    if (pointed != Pointed::Nested) continue;
    const CK_RV rv = encodeIn(static_cast<const CK_ATTRIBUTE*>(attribute.pValue),
                              attribute.ulValueLen / sizeof(CK_ATTRIBUTE), depth + 1, encoding);
    if (rv != CKR_OK) return rv;
  }
  return CKR_OK;
}

// Attributes into memory that is there for them.
bool decodeIn(CK_ATTRIBUTE* attributes, CK_ULONG count, std::size_t depth, Decoding& decoding) {
  if (!enter(count, depth, decoding)) return false;
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_ATTRIBUTE& attribute = attributes[i];
    attribute.type = decoding.getUlong();
    Pointed pointed{};
    if (!decoding.get(pointed, Pointed::Nested)) return false;
    attribute.ulValueLen = decoding.getUlong();
    if (pointed == Pointed::Null) continue;
    if ((pointed == Pointed::Nested) != cryptoki::isTemplateAttribute(attribute.type)) {
      return decoding.fail(DecodeError::Malformed);
    }
    if (pointed == Pointed::There) {
      attribute.pValue = decoding.takeCopy(attribute.ulValueLen);
      if (attribute.pValue == nullptr) return false;
      continue;
    }
    const CK_ULONG inner = attribute.ulValueLen / sizeof(CK_ATTRIBUTE);
    if (inner > decoding.attributes) return decoding.fail(DecodeError::TooLarge);
    attribute.pValue = decoding.take(attribute.ulValueLen);
    if (attribute.pValue == nullptr) return false;
    if (!decodeIn(static_cast<CK_ATTRIBUTE*>(attribute.pValue), inner, depth + 1, decoding)) return false;
  }
  return true;
}

Output noted(CK_ATTRIBUTE* attribute, Pointed pointed, CK_ULONG capacity, CK_ULONG announced, std::size_t depth) {
  return {.kind = pointed == Pointed::Nested ? Output::Kind::Array : Output::Kind::Attribute,
          .typed = depth > 1,
          .data = attribute->pValue,
          .length = attribute,
          .capacity = capacity,
          .announced = announced};
}

// What each value may claim: all it wants, if all together have room, else an equal share.
std::size_t shareOf(const CK_ATTRIBUTE* attributes, CK_ULONG count, std::size_t room) {
  std::size_t total = 0;
  for (CK_ULONG i = 0; i < count; ++i) {
    const auto attribute = cryptoki::load<CK_ATTRIBUTE>(attributes + i);
    if (howItGoes(attribute) != Pointed::There) continue;
    if (attribute.ulValueLen > room - total) return room / count;
    total += attribute.ulValueLen;
  }
  return room;
}

CK_RV encodeOut(CK_ATTRIBUTE* attributes, CK_ULONG count, std::size_t depth, Encoding& encoding) {
  if (const CK_RV rv = enter(attributes, count, depth, encoding); rv != CKR_OK) return rv;
  const std::size_t share = shareOf(attributes, count, encoding.room);
  for (CK_ULONG i = 0; i < count; ++i) {
    const auto attribute = cryptoki::load<CK_ATTRIBUTE>(attributes + i);
    const Pointed pointed = howItGoes(attribute);
    CK_ULONG capacity = attribute.ulValueLen;
    if (pointed == Pointed::There) capacity = encoding.claimUpTo(capacity, 1, share);
    encoding.putUlong(attribute.type);
    encoding.put(pointed);
    encoding.putUlong(capacity);
    encoding.outputs.add(noted(attributes + i, pointed, capacity, attribute.ulValueLen, depth));
    if (pointed != Pointed::Nested) continue;
    const CK_RV rv =
        encodeOut(static_cast<CK_ATTRIBUTE*>(attribute.pValue), capacity / sizeof(CK_ATTRIBUTE), depth + 1, encoding);
    if (rv != CKR_OK) return rv;
  }
  return CKR_OK;
}

bool decodeOut(CK_ATTRIBUTE* attributes, CK_ULONG count, std::size_t depth, Decoding& decoding) {
  if (!enter(count, depth, decoding)) return false;
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_ATTRIBUTE& attribute = attributes[i];
    attribute.type = decoding.getUlong();
    Pointed pointed{};
    if (!decoding.get(pointed, Pointed::Nested)) return false;
    const CK_ULONG capacity = attribute.ulValueLen = decoding.getUlong();
    if (decoding.from.failed()) return false;
    if (pointed != Pointed::Null) {
      if ((pointed == Pointed::Nested) != cryptoki::isTemplateAttribute(attribute.type)) {
        return decoding.fail(DecodeError::Malformed);
      }
      if (pointed == Pointed::Nested && capacity / sizeof(CK_ATTRIBUTE) > decoding.attributes) {
        return decoding.fail(DecodeError::TooLarge);
      }
      if (pointed == Pointed::There && !decoding.claim(capacity)) return false;
      attribute.pValue = decoding.take(capacity);
      if (attribute.pValue == nullptr) return false;
    }
    decoding.outputs.add(noted(&attribute, pointed, capacity, capacity, depth));
    if (pointed != Pointed::Nested) continue;
    if (!decodeOut(static_cast<CK_ATTRIBUTE*>(attribute.pValue), capacity / sizeof(CK_ATTRIBUTE), depth + 1,
                   decoding)) {
      return false;
    }
  }
  return true;
}

void encodeHead(const CK_ATTRIBUTE* attributes, CK_ULONG count, Encoding& encoding) {
  encoding.put(attributes == nullptr ? Pointed::Null : Pointed::There);
  encoding.putUlong(count);
}

// Memory for the outermost attributes, if there are any.
bool decodeHead(CK_ATTRIBUTE*& attributes, CK_ULONG& count, Decoding& decoding) {
  Pointed pointed{};
  if (!decoding.get(pointed)) return false;
  count = decoding.getUlong();
  if (pointed == Pointed::Null) return true;
  if (count > decoding.attributes) return decoding.fail(DecodeError::TooLarge);
  if (count > decoding.from.left() / kLeastEncoded) return false;
  attributes = reinterpret_cast<CK_ATTRIBUTE*>(decoding.take(count * sizeof(CK_ATTRIBUTE)));
  return attributes != nullptr;
}

}  // namespace

CK_RV encodeInTemplate(const CK_ATTRIBUTE* attributes, CK_ULONG count, Encoding& encoding) {
  encodeHead(attributes, count, encoding);
  return attributes == nullptr ? CKR_OK : encodeIn(attributes, count, 1, encoding);
}

bool decodeInTemplate(CK_ATTRIBUTE*& attributes, CK_ULONG& count, Decoding& decoding) {
  if (!decodeHead(attributes, count, decoding)) return false;
  return attributes == nullptr || decodeIn(attributes, count, 1, decoding);
}

CK_RV encodeOutTemplate(CK_ATTRIBUTE* attributes, CK_ULONG count, Encoding& encoding) {
  encodeHead(attributes, count, encoding);
  return attributes == nullptr ? CKR_OK : encodeOut(attributes, count, 1, encoding);
}

bool decodeOutTemplate(CK_ATTRIBUTE*& attributes, CK_ULONG& count, Decoding& decoding) {
  if (!decodeHead(attributes, count, decoding)) return false;
  return attributes == nullptr || decodeOut(attributes, count, 1, decoding);
}

}  // namespace p11ha::transport
