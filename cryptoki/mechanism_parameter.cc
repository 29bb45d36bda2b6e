#include "cryptoki/mechanism_parameter.h"

#include <utility>

namespace p11ha::cryptoki {
namespace {

// Parameters that the standard has no structure for, or of one structure the same under two parents.
struct KeyHandleParameter {
  CK_OBJECT_HANDLE key;
};
struct NewHandleParameter {
  CK_OBJECT_HANDLE key;
};
struct MechanismTypeParameter {
  CK_MECHANISM_TYPE mechanism;
};
struct SslKeyMatOut : CK_SSL3_KEY_MAT_OUT {};
struct Tls12KeyMatOut : CK_SSL3_KEY_MAT_OUT {};
struct MessageMechanism : CK_MECHANISM {};

constexpr bool mayHoldHandles(std::span<const ParameterField> fields) {
  for (const ParameterField& field : fields) {
    switch (field.kind) {
      case FieldKind::Handle:
      case FieldKind::AttributeValue:
      case FieldKind::MechanismParameter:
      case FieldKind::MessageParameter:
        return true;
      case FieldKind::Pointer:
      case FieldKind::Array:
        if (field.target->handles) return true;
        break;
      default:
        break;
    }
  }
  return false;
}

template <class T>
struct Fields;
template <class T>
constexpr ParameterShape kShape{Fields<T>::name, sizeof(T), Fields<T>::list, mayHoldHandles(Fields<T>::list)};

constexpr ParameterField plain(FieldKind kind, std::size_t offset, std::size_t size) {
  ParameterField field;
  field.kind = kind;
  field.offset = static_cast<std::uint16_t>(offset);
  field.size = static_cast<std::uint16_t>(size);
  return field;
}

constexpr ParameterField pointer(FieldKind kind, Direction direction, std::size_t offset, std::size_t length) {
  ParameterField field = plain(kind, offset, sizeof(void*));
  field.direction = direction;
  field.length = static_cast<std::uint16_t>(length);
  return field;
}

constexpr ParameterField fixed(Direction direction, std::size_t offset, std::size_t size) {
  ParameterField field = pointer(FieldKind::Fixed, direction, offset, 0);
  field.fixed = static_cast<std::uint16_t>(size);
  return field;
}

constexpr ParameterField to(FieldKind kind, std::size_t offset, std::size_t length, const ParameterShape& target) {
  ParameterField field = pointer(kind, Direction::InOut, offset, length);
  field.target = &target;
  return field;
}

constexpr ParameterField inParent(ParameterField field) {
  field.lengthInParent = true;
  return field;
}

constexpr ParameterField onlyIf(ParameterField field, std::size_t condition, std::size_t size, CK_ULONG bits) {
  field.condition = static_cast<std::uint16_t>(condition);
  field.conditionSize = static_cast<std::uint8_t>(size);
  field.conditionBits = bits;
  return field;
}

#define AT(m) offsetof(S, m)
#define OF(m) sizeof(decltype(std::declval<S&>().m))
#define ULONG(m) plain(FieldKind::Ulong, AT(m), OF(m))
#define LENGTH(m) plain(FieldKind::Length, AT(m), OF(m))
#define BOOL(m) plain(FieldKind::Bool, AT(m), OF(m))
#define FLAT(m) plain(FieldKind::Flat, AT(m), OF(m))
#define GENERATOR(m) plain(FieldKind::Generator, AT(m), OF(m))
#define HANDLE(m) plain(FieldKind::Handle, AT(m), OF(m))
#define HANDLE_IF(m, c, bits) onlyIf(HANDLE(m), AT(c), OF(c), bits)
#define NEW_HANDLE(m) plain(FieldKind::NewHandle, AT(m), OF(m))
#define BYTES(d, m, n) pointer(FieldKind::Bytes, Direction::d, AT(m), AT(n))
#define BYTES_IF(d, m, n, c, bits) onlyIf(BYTES(d, m, n), AT(c), OF(c), bits)
#define BITS(d, m, n) pointer(FieldKind::Bits, Direction::d, AT(m), AT(n))
#define PARENT_BITS(d, m, P, n) inParent(pointer(FieldKind::Bits, Direction::d, AT(m), offsetof(P, n)))
#define FIXED(d, m, size) fixed(Direction::d, AT(m), size)
#define COUNT_POINTER(m) pointer(FieldKind::CountPointer, Direction::InOut, AT(m), 0)
#define COUNTED(m, n) pointer(FieldKind::Counted, Direction::Out, AT(m), AT(n))
#define PASSWORD_LENGTH(m) pointer(FieldKind::PasswordLength, Direction::In, AT(m), 0)
#define PASSWORD(m, n) pointer(FieldKind::Password, Direction::In, AT(m), AT(n))
#define POINTER(m, T) to(FieldKind::Pointer, AT(m), 0, kShape<T>)
#define ARRAY(m, n, T) to(FieldKind::Array, AT(m), AT(n), kShape<T>)
#define ATTRIBUTE_VALUE(m, n) pointer(FieldKind::AttributeValue, Direction::In, AT(m), AT(n))
#define MECHANISM_PARAMETER(m, n) pointer(FieldKind::MechanismParameter, Direction::In, AT(m), AT(n))
#define MESSAGE_PARAMETER(m, n) pointer(FieldKind::MessageParameter, Direction::In, AT(m), AT(n))

#define STRUCT(type, ...)                                   \
  template <>                                               \
  struct Fields<type> {                                     \
    using S = type;                                         \
    static constexpr std::string_view name = #type;         \
    static constexpr ParameterField list[] = {__VA_ARGS__}; \
  };
#include "cryptoki/mechanism_parameters.def"

constexpr const ParameterShape* kAll[] = {
#define STRUCT(type, ...) &kShape<type>,
#include "cryptoki/mechanism_parameters.def"
};

template <class... T>
constexpr const ParameterShape* kAlternatives[] = {&kShape<T>...};

constexpr std::pair<CK_MECHANISM_TYPE, const ParameterShape*> kMessages[] = {
#define MESSAGE(name, type) {name, &kShape<type>},
#include "cryptoki/mechanism_parameters.def"
};

consteval bool messagesDifferInSize() {
  for (const auto& [typeA, a] : kMessages) {
    for (const auto& [typeB, b] : kMessages) {
      if (a->name != b->name && a->size == b->size) return false;
    }
  }
  return true;
}
static_assert(messagesDifferInSize(), "messageShapeOfSize() cannot tell them apart");

}  // namespace

bool isFlat(ParameterKind kind) {
  switch (kind) {
#define FLAT_PARAMETER(name) case ParameterKind::name:
#include "cryptoki/mechanism_parameters.def"
    return true;
    default:
      return false;
  }
}

std::span<const ParameterShape* const> parameterShapes(ParameterKind kind) {
  switch (kind) {
#define PARAMETER(name, ...) \
  case ParameterKind::name:  \
    return kAlternatives<__VA_ARGS__>;
#include "cryptoki/mechanism_parameters.def"
    default:
      return {};
  }
}

const ParameterShape* parameterShape(ParameterKind kind, std::size_t size) {
  for (const ParameterShape* shape : parameterShapes(kind)) {
    if (shape->size == size) return shape;
  }
  return nullptr;
}

const ParameterShape* messageShape(CK_MECHANISM_TYPE mechanism) {
  for (const auto& [type, shape] : kMessages) {
    if (type == mechanism) return shape;
  }
  return nullptr;
}

const ParameterShape* messageShapeOfSize(std::size_t size) {
  for (const auto& [type, shape] : kMessages) {
    if (shape->size == size) return shape;
  }
  return nullptr;
}

const ParameterShape& attributeShape() { return kShape<CK_ATTRIBUTE>; }
const ParameterShape& mechanismShape() { return kShape<CK_MECHANISM>; }
const ParameterShape& messageParameterShape() { return kShape<MessageMechanism>; }

std::span<const ParameterShape* const> allParameterShapes() { return kAll; }

}  // namespace p11ha::cryptoki
