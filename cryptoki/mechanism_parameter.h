// mechanism_parameters.def as data: where in a parameter the pointers, lengths and handles are. Constant: any thread,
// nothing fails.
#pragma once

#include <span>
#include <string_view>

#include "cryptoki/pkcs11.h"

namespace p11ha::cryptoki {

/// What a member of a structure is: see mechanism_parameters.def. Pointers come last, and last of them those to what
/// may hold pointers itself.
enum class FieldKind : std::uint8_t {
  Ulong,
  Length,
  Bool,
  Flat,
  Generator,
  Handle,
  NewHandle,
  Bytes,
  Bits,
  Fixed,
  CountPointer,
  Counted,
  PasswordLength,
  Password,
  Pointer,
  Array,
  AttributeValue,
  MechanismParameter,
  MessageParameter,
};

constexpr bool isPointer(FieldKind kind) { return kind >= FieldKind::Bytes; }
constexpr bool pointsToBytes(FieldKind kind) { return isPointer(kind) && kind < FieldKind::Pointer; }

enum class Direction : std::uint8_t { In, Out, InOut };

struct ParameterShape;

/// One member of a structure. Offsets and sizes in bytes.
struct ParameterField {
  FieldKind kind{};
  Direction direction = Direction::In;
  bool lengthInParent = false;
  std::uint8_t conditionSize = 0;  // 0: unconditional; else 1 or 8
  std::uint16_t offset = 0;
  std::uint16_t size = 0;                  // of the member itself
  std::uint16_t length = 0;                // where the length of what it points to is
  std::uint16_t fixed = 0;                 // of what a Fixed points to
  std::uint16_t condition = 0;             // where the member is that switches this one on ...
  CK_ULONG conditionBits = 0;              // ... by any of these bits
  const ParameterShape* target = nullptr;  // of Pointer and Array
};

/// A structure.
struct ParameterShape {
  std::string_view name;
  std::size_t size = 0;
  std::span<const ParameterField> fields;
  bool handles = false;  // may handles of objects be in it, or below?
};

/// The kinds of parameters that mechanisms have; Unknown: a mechanism known by name only.
enum class ParameterKind : std::uint8_t {
  Unknown,
#define FLAT_PARAMETER(kind) kind,
#define PARAMETER(kind, ...) kind,
#include "cryptoki/mechanism_parameters.def"
};

/// Bytes without pointers in them, of any length.
bool isFlat(ParameterKind kind);

/// The structures that a parameter of that kind may be (told apart by their sizes); empty for flat and unknown ones.
std::span<const ParameterShape* const> parameterShapes(ParameterKind kind);

/// The one of that size, or nullptr.
const ParameterShape* parameterShape(ParameterKind kind, std::size_t size);

/// What C_EncryptMessage and its kin take for that mechanism (PKCS #11 v3.0, 5.9), or nullptr.
const ParameterShape* messageShape(CK_MECHANISM_TYPE mechanism);

/// The same by its size alone, for who does not know the mechanism: no two of them are of one size.
const ParameterShape* messageShapeOfSize(std::size_t size);

/// CK_ATTRIBUTE, CK_MECHANISM, and the like of a CK_MECHANISM whose parameter is a message's: parameters hang on these.
const ParameterShape& attributeShape();
const ParameterShape& mechanismShape();
const ParameterShape& messageParameterShape();

/// All structures, for tests.
std::span<const ParameterShape* const> allParameterShapes();

}  // namespace p11ha::cryptoki
