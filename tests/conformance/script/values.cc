#include "tests/conformance/script/values.h"

#include <string>

namespace p11ha::conformance {

Bytes bytesOf(std::string_view text) { return {text.begin(), text.end()}; }

Bytes fromHex(std::string_view digits) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<CK_BYTE>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

Bytes counting(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<CK_BYTE>(i);
  return bytes;
}

Attributes& Attributes::flag(CK_ATTRIBUTE_TYPE type, bool value) {
  return bytes(type, {static_cast<CK_BYTE>(value ? CK_TRUE : CK_FALSE)});
}

Attributes& Attributes::number(CK_ATTRIBUTE_TYPE type, CK_ULONG value) { return bytes(type, bytesOfValue(value)); }

Attributes& Attributes::bytes(CK_ATTRIBUTE_TYPE type, Bytes value) {
  values_.push_back({type, std::move(value)});
  return *this;
}

Attributes& Attributes::add(const Attributes& others) {
  values_.insert(values_.end(), others.values_.begin(), others.values_.end());
  return *this;
}

Attributes Attributes::without(CK_ATTRIBUTE_TYPE type) const {
  Attributes rest;
  for (const Value& value : values_) {
    if (value.type != type) rest.values_.push_back(value);
  }
  return rest;
}

namespace fixed {
#define FIXED(name, value) \
  Bytes name() { return fromHex(value); }
#include "tests/conformance/script/fixed_keys.def"
}  // namespace fixed

}  // namespace p11ha::conformance
