// What scripts put into calls: bytes, templates, mechanisms, and keys that are the same every time.
#pragma once

#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "cryptoki/pkcs11.h"

namespace p11ha::conformance {

using Bytes = std::vector<CK_BYTE>;

/// Bytes of a text, of a value in memory, of hexadecimal digits.
Bytes bytesOf(std::string_view text);
template <class T>
Bytes bytesOfValue(const T& value) {
  const auto* first = reinterpret_cast<const CK_BYTE*>(&value);
  return {first, first + sizeof value};
}
Bytes fromHex(std::string_view digits);
/// So many bytes, none like its neighbour.
Bytes counting(std::size_t count);

/// A template that owns its values. Copyable; one thread.
class Attributes {
 public:
  Attributes& flag(CK_ATTRIBUTE_TYPE type, bool value = true);
  Attributes& number(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  Attributes& bytes(CK_ATTRIBUTE_TYPE type, Bytes value);
  Attributes& text(CK_ATTRIBUTE_TYPE type, std::string_view value) { return bytes(type, bytesOf(value)); }
  Attributes& add(const Attributes& others);
  Attributes without(CK_ATTRIBUTE_TYPE type) const;

  struct Value {
    CK_ATTRIBUTE_TYPE type;
    Bytes bytes;
  };
  const std::vector<Value>& values() const { return values_; }

 private:
  std::vector<Value> values_;
};

/// A mechanism with its parameter and all that this points to; copies share it. One thread.
class MechanismSpec {
 public:
  MechanismSpec(CK_MECHANISM_TYPE type = CKM_VENDOR_DEFINED) : type_(type) {}  // NOLINT(google-explicit-constructor)
  MechanismSpec(CK_MECHANISM_TYPE type, Bytes parameter) : type_(type), parameter_(std::move(parameter)) {}
  /// With a structure as its parameter, whose pointers come from keep().
  template <class T>
  MechanismSpec& parameter(const T& structure) {
    parameter_ = bytesOfValue(structure);
    return *this;
  }
  CK_BYTE* keep(Bytes behind) { return behind_->emplace_back(std::move(behind)).data(); }

  CK_MECHANISM_TYPE type() const { return type_; }
  const Bytes& parameter() const { return parameter_; }

 private:
  CK_MECHANISM_TYPE type_;
  Bytes parameter_;
  std::shared_ptr<std::deque<Bytes>> behind_ = std::make_shared<std::deque<Bytes>>();
};

/// fixed_keys.def, each value as bytes.
namespace fixed {
#define FIXED(name, value) Bytes name();
#include "tests/conformance/script/fixed_keys.def"
}  // namespace fixed

}  // namespace p11ha::conformance
