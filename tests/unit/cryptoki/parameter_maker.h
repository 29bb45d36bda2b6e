// Applications' mechanism parameters, made from the table that the code under test reads them by.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "cryptoki/mechanism.h"
#include "cryptoki/owned_mechanism.h"
#include "cryptoki/unaligned.h"

namespace p11ha::cryptoki::test {

/// An application's parameter, filled as its shape says, each block in memory of exactly its size so that a sanitizer
/// sees whatever is read or written beyond.
class Parameter {
 public:
  static constexpr CK_ULONG kLength = 24;  // what every length is, in bytes or bits
  static constexpr CK_ULONG kCount = 2;
  static constexpr CK_OBJECT_HANDLE kFirstHandle = 1000;

  explicit Parameter(const ParameterShape& shape, bool passwordLengthBehindPointer = false)
      : shape_(&shape), indirect_(passwordLengthBehindPointer), top_(take(shape.size)) {
    fill(shape, top_, nullptr);
  }

  void* data() { return top_; }
  CK_ULONG size() const { return shape_->size; }
  std::size_t handles() const { return handles_; }

  /// Turns what is behind it into what a member would have made of it.
  static std::size_t writeAsMember(const ParameterShape& shape, void* base, const void* parent) {
    std::size_t written = 0;
    auto* const at = static_cast<std::uint8_t*>(base);
    for (const ParameterField& field : shape.fields) {
      if (field.kind == FieldKind::NewHandle) {
        store<CK_OBJECT_HANDLE>(at + field.offset, 77 + written++);
        continue;
      }
      if (field.kind == FieldKind::Length) store(at + field.offset, kLength - 1);
      const auto [data, size, inner] = pointee(field, at, parent);
      if (data == nullptr) continue;
      for (std::size_t i = 0; inner != nullptr && i < size / inner->size; ++i) {
        written += writeAsMember(*inner, static_cast<std::uint8_t*>(data) + i * inner->size, at);
      }
      if (inner != nullptr || field.direction == Direction::In || field.kind == FieldKind::CountPointer) continue;
      std::memset(data, 0xAB, size);
      ++written;
    }
    return written;
  }

  /// Both built from one shape: what they point to is equal, and no block is shared.
  static void expectEqualButApart(const ParameterShape& shape, const void* a, const void* b, const void* parentA,
                                  const void* parentB) {
    for (const ParameterField& field : shape.fields) {
      const auto [x, sizeX, innerX] = pointee(field, a, parentA);
      const auto [y, sizeY, innerY] = pointee(field, b, parentB);
      const auto* const fieldA = static_cast<const std::uint8_t*>(a) + field.offset;
      const auto* const fieldB = static_cast<const std::uint8_t*>(b) + field.offset;
      if (x == nullptr || y == nullptr) {
        EXPECT_EQ(x, y) << shape.name << " at " << field.offset;
        EXPECT_EQ(std::memcmp(fieldA, fieldB, field.size), 0) << shape.name << " at " << field.offset;
        continue;
      }
      EXPECT_NE(x, y) << shape.name << " at " << field.offset;
      ASSERT_EQ(sizeX, sizeY) << shape.name << " at " << field.offset;
      if (innerX == nullptr) {
        EXPECT_EQ(std::memcmp(x, y, sizeX), 0) << shape.name << " at " << field.offset;
        continue;
      }
      for (std::size_t i = 0; i < sizeX / innerX->size; ++i) {
        expectEqualButApart(*innerX, static_cast<std::uint8_t*>(x) + i * innerX->size,
                            static_cast<std::uint8_t*>(y) + i * innerY->size, a, b);
      }
    }
  }

 private:
  struct Pointee {
    void* data;
    std::size_t size;
    const ParameterShape* inner;
  };

  // The test's own reading of a field, of parameters that are well formed.
  static Pointee pointee(const ParameterField& field, const void* base, const void* parent) {
    const auto* const at = static_cast<const std::uint8_t*>(base);
    const auto* const length = (field.lengthInParent ? static_cast<const std::uint8_t*>(parent) : at) + field.length;
    void* const data = field.size == sizeof(void*) ? load<void*>(at + field.offset) : nullptr;
    switch (field.kind) {
      case FieldKind::Bytes:
      case FieldKind::AttributeValue:
      case FieldKind::MechanismParameter:
      case FieldKind::MessageParameter:
        return {data, load<CK_ULONG>(length), nullptr};
      case FieldKind::Bits:
        return {data, (load<CK_ULONG>(length) + 7) / 8, nullptr};
      case FieldKind::Fixed:
        return {data, field.fixed, nullptr};
      case FieldKind::CountPointer:
        return {data, sizeof(CK_ULONG), nullptr};
      case FieldKind::Counted:
        return {data, load<CK_ULONG>(load<void*>(length)), nullptr};
      case FieldKind::PasswordLength:
        return {load<CK_ULONG>(at + field.offset) < 65536 ? nullptr : data, sizeof(CK_ULONG), nullptr};
      case FieldKind::Password: {
        const auto given = load<CK_ULONG>(length);
        return {data, given < 65536 ? given : load<CK_ULONG>(load<void*>(length)), nullptr};
      }
      case FieldKind::Pointer:
        return {data, field.target->size, field.target};
      case FieldKind::Array:
        return {data, load<CK_ULONG>(length) * field.target->size, field.target};
      default:
        return {nullptr, 0, nullptr};
    }
  }

  std::uint8_t* take(std::size_t size) {
    auto& block = blocks_.emplace_back(new std::uint8_t[size]);
    for (std::size_t i = 0; i < size; ++i) block[i] = static_cast<std::uint8_t>(blocks_.size() * 7 + i);
    return block.get();
  }

  void fill(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent) {
    std::memset(base, 0, shape.size);
    for (const ParameterField& field : shape.fields) {
      if (field.kind == FieldKind::Ulong || field.kind == FieldKind::Length || field.kind == FieldKind::Generator) {
        store(base + field.offset, kLength);
      }
      if (field.kind == FieldKind::Flat) std::memset(base + field.offset, 0x5A, field.size);
    }
    for (const ParameterField& field : shape.fields) {
      if (field.kind == FieldKind::Array) store(base + field.length, kCount);
      if (field.conditionSize == 1) base[field.condition] = CK_TRUE;
      if (field.conditionSize == 8) {
        store(base + field.condition, load<CK_ULONG>(base + field.condition) | field.conditionBits);
      }
    }
    if (shape.name == "CK_ATTRIBUTE") store<CK_ATTRIBUTE_TYPE>(base, CKA_LABEL);
    if (shape.name == "CK_MECHANISM") store<CK_MECHANISM_TYPE>(base, CKM_AES_CBC);
    for (const ParameterField& field : shape.fields) {
      std::uint8_t* const at = base + field.offset;
      switch (field.kind) {
        case FieldKind::Handle:
          store(at, kFirstHandle + handles_++);
          break;
        case FieldKind::CountPointer: {
          std::uint8_t* const count = take(sizeof(CK_ULONG));
          store(count, kLength);
          store(at, count);
          break;
        }
        case FieldKind::PasswordLength:
          if (indirect_) {
            std::uint8_t* const length = take(sizeof(CK_ULONG));
            store(length, kLength);
            store(at, length);
          } else {
            store(at, kLength);
          }
          break;
        default:
          if (auto [ignored, size, inner] = pointee(field, base, parent); size != 0) {
            std::uint8_t* const block = take(size);
            store(at, block);
            for (std::size_t i = 0; inner != nullptr && i < size / inner->size; ++i) {
              fill(*inner, block + i * inner->size, base);
            }
          }
      }
    }
  }

  const ParameterShape* shape_;
  bool indirect_;
  std::size_t handles_ = 0;
  std::vector<std::unique_ptr<std::uint8_t[]>> blocks_;
  std::uint8_t* top_;
};

/// A parameter of a mechanism, or of its messages, by its structure.
struct Case {
  CK_MECHANISM_TYPE type;
  const ParameterShape* shape;
  bool message;
};

inline std::vector<Case> everyShapeOfEveryMechanism() {
  std::vector<Case> cases;
  for (const MechanismInfo& row : allMechanisms()) {
    for (const ParameterShape* shape : parameterShapes(row.parameter)) cases.push_back({row.type, shape, false});
    if (const ParameterShape* shape = messageShape(row.type)) cases.push_back({row.type, shape, true});
  }
  return cases;
}

inline CK_RV assign(OwnedMechanism& owned, const Case& c, Parameter& parameter) {
  return c.message ? owned.assignMessage(c.type, parameter.data(), parameter.size())
                   : owned.assign({c.type, parameter.data(), parameter.size()});
}

}  // namespace p11ha::cryptoki::test
