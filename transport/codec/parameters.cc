#include "transport/codec/parameters.h"

#include "cryptoki/parameter_pointee.h"

namespace p11ha::transport {
namespace {

using cryptoki::Direction;
using cryptoki::FieldKind;
using cryptoki::load;
using cryptoki::ParameterField;
using cryptoki::ParameterShape;
using cryptoki::Pointee;
using cryptoki::Resolved;
using cryptoki::store;

Output region(void* data, std::size_t size, const void* before) {
  return {.kind = Output::Kind::Region, .data = data, .capacity = size, .before = before};
}

// Bytes that the member writes; their number may be its answer too.
Output room(const ParameterField& field, void* data, std::size_t size, void* base) {
  Output output = region(data, size, nullptr);
  if (field.kind == FieldKind::Bytes) output.length = static_cast<std::uint8_t*>(base) + field.length;
  return output;
}

Output counted(void* data, std::size_t size, void* count) {
  return {.kind = Output::Kind::Sized, .data = data, .length = count, .capacity = size, .announced = size};
}

CK_RV encodeStructure(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent, std::size_t depth,
                      Encoding& encoding);

CK_RV encodePointee(const ParameterField& field, const Pointee& pointee, std::uint8_t* base, std::size_t depth,
                    Encoding& encoding) {
  if (pointee.shape != nullptr) {
    if (depth == cryptoki::kMaxParameterDepth) return CKR_MECHANISM_PARAM_INVALID;
    for (std::size_t i = 0; i < pointee.count; ++i) {
      const CK_RV rv =
          encodeStructure(*pointee.shape, pointee.data + i * pointee.shape->size, base, depth + 1, encoding);
      if (rv != CKR_OK) return rv;
    }
    return CKR_OK;
  }
  if (field.direction != Direction::Out && !encoding.putBytes(pointee.data, pointee.size)) return CKR_HOST_MEMORY;
  if (field.direction == Direction::In || field.kind == FieldKind::CountPointer) return CKR_OK;
  if (!encoding.claim(pointee.size)) return CKR_HOST_MEMORY;
  if (field.kind != FieldKind::Counted) encoding.outputs.add(region(pointee.data, pointee.size, nullptr));
  return CKR_OK;
}

CK_RV encodeField(const ParameterField& field, std::uint8_t* base, const std::uint8_t* parent, std::size_t depth,
                  Encoding& encoding) {
  std::uint8_t* const at = base + field.offset;
  switch (field.kind) {
    case FieldKind::NewHandle:
      encoding.outputs.add(region(at, field.size, nullptr));
      return CKR_OK;
    case FieldKind::Handle:
      encoding.putUlong(switchedOn(field, base) ? load<CK_OBJECT_HANDLE>(at) : CK_INVALID_HANDLE);
      return CKR_OK;
    case FieldKind::Length:
      encoding.outputs.add(region(at, field.size, nullptr));
      encoding.to.putBytes(at, field.size);
      return CKR_OK;
    default:
      break;
  }
  Pointee pointee;
  const Resolved resolved = resolve(field, base, parent, pointee);
  if (resolved == Resolved::Invalid) return CKR_MECHANISM_PARAM_INVALID;
  if (resolved == Resolved::NotAPointer) {
    if (field.kind == FieldKind::PasswordLength) encoding.put(Pointed::Null);
    encoding.to.putBytes(at, field.size);
    return CKR_OK;
  }
  encoding.put(pointee.data == nullptr ? Pointed::Null : Pointed::There);
  if (pointee.data != nullptr) {
    const CK_RV rv = encodePointee(field, pointee, base, depth, encoding);
    if (rv != CKR_OK) return rv;
  }
  if (field.kind == FieldKind::Counted) {
    encoding.outputs.add(counted(pointee.data, pointee.size, load<void*>(base + field.length)));
  }
  return CKR_OK;
}

CK_RV encodeStructure(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent, std::size_t depth,
                      Encoding& encoding) {
  if (!encoding.fits(shape.size)) return CKR_HOST_MEMORY;
  for (const ParameterField& field : shape.fields) {
    const CK_RV rv = encodeField(field, base, parent, depth, encoding);
    if (rv != CKR_OK) return rv;
  }
  return CKR_OK;
}

// At least as many bytes as one structure takes on the wire; a few structures take none.
std::size_t leastEncoded(const ParameterShape& shape) {
  std::size_t least = 0;
  for (const ParameterField& field : shape.fields) {
    if (field.kind != FieldKind::NewHandle) least += isPointer(field.kind) ? 1 : field.size;
  }
  return std::max<std::size_t>(least, 1);
}

bool decodeStructure(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent, std::size_t depth,
                     Decoding& decoding);

bool decodeStructures(const Pointee& pointee, std::uint8_t* at, const std::uint8_t* base, std::size_t depth,
                      Decoding& decoding) {
  if (depth == cryptoki::kMaxParameterDepth) return decoding.fail(DecodeError::TooDeep);
  for (std::size_t i = 0; i < pointee.count; ++i) {
    if (!decodeStructure(*pointee.shape, at + i * pointee.shape->size, base, depth + 1, decoding)) return false;
  }
  return true;
}

// What the field points to, put where the module will find it.
bool decodePointee(const ParameterField& field, const Pointee& pointee, std::uint8_t* base, std::size_t depth,
                   Decoding& decoding) {
  std::uint8_t* const at = base + field.offset;
  if (pointee.shape != nullptr) {
    if (pointee.count > decoding.from.left() / leastEncoded(*pointee.shape) + 1) return false;
    std::uint8_t* const structures = decoding.take(pointee.size);
    if (structures == nullptr) return false;
    store(at, structures);
    return decodeStructures(pointee, structures, base, depth, decoding);
  }
  if (field.direction == Direction::Out) {
    std::uint8_t* const taken = decoding.claim(pointee.size) ? decoding.take(pointee.size) : nullptr;
    if (taken == nullptr) return false;
    store(at, taken);
    if (field.kind != FieldKind::Counted) decoding.outputs.add(room(field, taken, pointee.size, base));
    return true;
  }
  const std::uint8_t* const before = decoding.from.take(pointee.size);
  std::uint8_t* const copy = before == nullptr ? nullptr : decoding.take(pointee.size);
  if (copy == nullptr) return false;
  if (pointee.size != 0) std::memcpy(copy, before, pointee.size);
  store(at, copy);
  if (field.direction == Direction::In || field.kind == FieldKind::CountPointer) return true;
  if (!decoding.claim(pointee.size)) return false;
  decoding.outputs.add(region(copy, pointee.size, before));
  return true;
}

bool decodePasswordLength(const ParameterField& field, std::uint8_t* base, Decoding& decoding) {
  Pointed pointed{};
  if (!decoding.get(pointed)) return false;
  const CK_ULONG length = decoding.getUlong();
  if (pointed == Pointed::Null) {
    if (length >= cryptoki::kLowestAddress) return decoding.fail(DecodeError::Malformed);
    store(base + field.offset, length);
    return true;
  }
  std::uint8_t* const copy = decoding.take(sizeof length);
  if (copy == nullptr) return false;
  store(copy, length);
  store(base + field.offset, copy);
  return true;
}

bool decodePointer(const ParameterField& field, std::uint8_t* base, const std::uint8_t* parent, std::size_t depth,
                   Decoding& decoding) {
  Pointed pointed{};
  if (!decoding.get(pointed)) return false;
  // Anything but NULL makes it a pointer whose extent can be asked for; it is not followed.
  if (pointed == Pointed::There) store(base + field.offset, base);
  Pointee pointee;
  if (resolve(field, base, parent, pointee) == Resolved::Invalid) return decoding.fail(DecodeError::Malformed);
  if ((pointee.data != nullptr) != (pointed == Pointed::There)) return decoding.fail(DecodeError::Malformed);
  if (pointed == Pointed::There && !decodePointee(field, pointee, base, depth, decoding)) return false;
  if (field.kind == FieldKind::Counted) {
    decoding.outputs.add(counted(load<void*>(base + field.offset), pointee.size, load<void*>(base + field.length)));
  }
  return true;
}

bool decodeField(const ParameterField& field, std::uint8_t* base, const std::uint8_t* parent, std::size_t depth,
                 Decoding& decoding) {
  std::uint8_t* const at = base + field.offset;
  if (field.kind == FieldKind::PasswordLength) return decodePasswordLength(field, base, decoding);
  if (isPointer(field.kind)) return decodePointer(field, base, parent, depth, decoding);
  if (field.kind == FieldKind::NewHandle) {
    decoding.outputs.add(region(at, field.size, nullptr));
    return true;
  }
  const std::uint8_t* const before = decoding.from.take(field.size);
  if (before == nullptr) return false;
  if (field.kind != FieldKind::Handle || switchedOn(field, base)) std::memcpy(at, before, field.size);
  if (field.kind == FieldKind::Length) decoding.outputs.add(region(at, field.size, before));
  return true;
}

bool decodeStructure(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent, std::size_t depth,
                     Decoding& decoding) {
  for (const ParameterField& field : shape.fields) {
    if (!decodeField(field, base, parent, depth, decoding)) return false;
  }
  return true;
}

std::uint8_t* bytes(const void* structure) {
  return const_cast<std::uint8_t*>(static_cast<const std::uint8_t*>(structure));
}

}  // namespace

CK_RV encodeMechanism(const CK_MECHANISM* mechanism, Encoding& encoding) {
  encoding.put(mechanism == nullptr ? Pointed::Null : Pointed::There);
  if (mechanism == nullptr) return CKR_OK;
  std::uint8_t* const base = bytes(mechanism);
  return encodeStructure(cryptoki::mechanismShape(), base, base, 0, encoding);
}

bool decodeMechanism(CK_MECHANISM*& mechanism, Decoding& decoding) {
  Pointed pointed{};
  if (!decoding.get(pointed)) return false;
  if (pointed == Pointed::Null) return true;
  std::uint8_t* const base = decoding.take(sizeof(CK_MECHANISM));
  if (base == nullptr) return false;
  mechanism = reinterpret_cast<CK_MECHANISM*>(base);
  return decodeStructure(cryptoki::mechanismShape(), base, base, 0, decoding);
}

CK_RV encodeMessageParameter(void* parameter, CK_ULONG length, Encoding& encoding) {
  const ParameterShape* const shape = parameter != nullptr ? cryptoki::messageShapeOfSize(length) : nullptr;
  if (parameter != nullptr && length != 0 && shape == nullptr) return CKR_MECHANISM_PARAM_INVALID;
  encoding.put(parameter == nullptr ? Pointed::Null : Pointed::There);
  encoding.putUlong(length);
  if (shape == nullptr) return CKR_OK;
  return encodeStructure(*shape, bytes(parameter), bytes(parameter), 1, encoding);
}

bool decodeMessageParameter(void*& parameter, CK_ULONG& length, Decoding& decoding) {
  Pointed pointed{};
  if (!decoding.get(pointed)) return false;
  length = decoding.getUlong();
  if (pointed == Pointed::Null) return true;
  const ParameterShape* const shape = cryptoki::messageShapeOfSize(length);
  if (length != 0 && shape == nullptr) return decoding.fail(DecodeError::Malformed);
  std::uint8_t* const base = decoding.take(length);
  if (base == nullptr) return false;
  parameter = base;
  return shape == nullptr || decodeStructure(*shape, base, base, 1, decoding);
}

}  // namespace p11ha::transport
