// What the pointers within a mechanism's parameter point to, as mechanism_parameters.def says.
#pragma once

#include <cstdint>

#include "cryptoki/mechanism_parameter.h"
#include "cryptoki/unaligned.h"

namespace p11ha::cryptoki {

/// Bounds of a parameter: whatever is beyond is no parameter but a mistake or an attack.
inline constexpr std::size_t kMaxParameterField = 16UL << 20;  // bytes behind one pointer
inline constexpr std::size_t kMaxParameter = 64UL << 20;       // bytes, all together
inline constexpr std::size_t kMaxParameterDepth = 8;           // of pointers within what pointers point to

/// Linux maps nothing below: see CK_PKCS5_PBKD2_PARAMS in mechanism_parameters.def.
inline constexpr CK_ULONG kLowestAddress = 65536;

/// What a pointer field points to; data is null where it points to nothing.
struct Pointee {
  std::uint8_t* data = nullptr;
  std::size_t size = 0;
  const ParameterShape* shape = nullptr;  // of its elements, if they are structures
  std::size_t count = 0;
};

enum class Resolved : std::uint8_t { NotAPointer, Pointer, Invalid };

/// Does the member of the structure at `base` count, or does another one switch it off?
inline bool switchedOn(const ParameterField& field, const std::uint8_t* base) {
  switch (field.conditionSize) {
    case 0:
      return true;
    case sizeof(CK_BBOOL):
      return (load<CK_BBOOL>(base + field.condition) & field.conditionBits) != 0;
    default:
      return (load<CK_ULONG>(base + field.condition) & field.conditionBits) != 0;
  }
}

namespace detail {
Resolved resolvePointer(const ParameterField& field, const std::uint8_t* base, const std::uint8_t* parent,
                        Pointee& pointee);
}

/// What a member of the structure at `base` points to; `parent` is the structure that points to that one (the outermost
/// one is its own). Reads what counts it, and nothing behind the pointer itself. Invalid: beyond the bounds, a
/// mechanism not known, a parameter not of its size, NULL where there should be something. Any thread.
inline Resolved resolve(const ParameterField& field, const std::uint8_t* base, const std::uint8_t* parent,
                        Pointee& pointee) {
  return isPointer(field.kind) ? detail::resolvePointer(field, base, parent, pointee) : Resolved::NotAPointer;
}

}  // namespace p11ha::cryptoki
