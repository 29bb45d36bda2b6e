#include "cryptoki/parameter_pointee.h"

#include "cryptoki/attribute.h"
#include "cryptoki/mechanism.h"

namespace p11ha::cryptoki {
namespace {

Resolved structures(Pointee& pointee, const ParameterShape* shape, std::size_t count) {
  if (count > kMaxParameterField / shape->size) return Resolved::Invalid;
  pointee.shape = shape;
  pointee.count = count;
  pointee.size = count * shape->size;
  return Resolved::Pointer;
}

// A parameter that hangs on a mechanism or a message, of the structure that its type and length tell.
Resolved parameter(Pointee& pointee, CK_MECHANISM_TYPE type, bool message) {
  if (pointee.size == 0) pointee.data = nullptr;
  if (pointee.data == nullptr) return pointee.size == 0 ? Resolved::Pointer : Resolved::Invalid;
  const ParameterShape* shape = nullptr;
  if (message) {
    shape = messageShape(type);
    if (shape != nullptr && shape->size != pointee.size) shape = nullptr;
  } else {
    const MechanismInfo* info = mechanismInfo(type);
    if (info == nullptr) return Resolved::Invalid;
    if (isFlat(info->parameter)) return pointee.size <= kMaxParameterField ? Resolved::Pointer : Resolved::Invalid;
    shape = parameterShape(info->parameter, pointee.size);
  }
  return shape != nullptr ? structures(pointee, shape, 1) : Resolved::Invalid;
}

}  // namespace

Resolved detail::resolvePointer(const ParameterField& field, const std::uint8_t* base, const std::uint8_t* parent,
                                Pointee& pointee) {
  pointee = {};
  const std::uint8_t* const length = (field.lengthInParent ? parent : base) + field.length;
  bool mayBeNull = field.direction == Direction::Out;
  switch (field.kind) {
    case FieldKind::Ulong:
    case FieldKind::Length:
    case FieldKind::Bool:
    case FieldKind::Flat:
    case FieldKind::Generator:
    case FieldKind::Handle:
    case FieldKind::NewHandle:
      return Resolved::NotAPointer;
    case FieldKind::PasswordLength:
      if (load<CK_ULONG>(base + field.offset) < kLowestAddress) return Resolved::NotAPointer;
      pointee.size = sizeof(CK_ULONG);
      break;
    case FieldKind::Password: {
      const auto given = load<CK_ULONG>(length);
      pointee.size = given < kLowestAddress ? given : load<CK_ULONG>(load<const void*>(length));
      break;
    }
    case FieldKind::Fixed:
      pointee.size = field.fixed;
      mayBeNull = true;
      break;
    case FieldKind::CountPointer:
      pointee.size = sizeof(CK_ULONG);
      mayBeNull = true;
      break;
    case FieldKind::Counted: {
      const auto* count = load<const void*>(length);
      pointee.size = count != nullptr ? load<CK_ULONG>(count) : 0;
      break;
    }
    case FieldKind::Bytes:
    case FieldKind::AttributeValue:
    case FieldKind::MechanismParameter:
    case FieldKind::MessageParameter:
      pointee.size = load<CK_ULONG>(length);
      break;
    case FieldKind::Bits: {
      const auto bits = load<CK_ULONG>(length);
      pointee.size = bits / 8 + (bits % 8 != 0 ? 1 : 0);
      break;
    }
    case FieldKind::Pointer:
      if (structures(pointee, field.target, 1) == Resolved::Invalid) return Resolved::Invalid;
      mayBeNull = true;
      break;
    case FieldKind::Array:
      if (structures(pointee, field.target, load<CK_ULONG>(length)) == Resolved::Invalid) return Resolved::Invalid;
      break;
  }
  if (!switchedOn(field, base)) {
    pointee = {};
    return Resolved::Pointer;
  }
  pointee.data = load<std::uint8_t*>(base + field.offset);
  if (field.kind == FieldKind::MechanismParameter || field.kind == FieldKind::MessageParameter) {
    return parameter(pointee, load<CK_ULONG>(base), field.kind == FieldKind::MessageParameter);
  }
  if (pointee.data == nullptr) {
    if (pointee.size != 0 && !mayBeNull) return Resolved::Invalid;
    pointee = {};
    return Resolved::Pointer;
  }
  if (pointee.size > kMaxParameterField) return Resolved::Invalid;
  if (field.kind == FieldKind::AttributeValue && isTemplateAttribute(load<CK_ULONG>(base))) {
    if (pointee.size % sizeof(CK_ATTRIBUTE) != 0) return Resolved::Invalid;
    return structures(pointee, &attributeShape(), pointee.size / sizeof(CK_ATTRIBUTE));
  }
  return Resolved::Pointer;
}

}  // namespace p11ha::cryptoki
