#include "testbed/history/attributes.h"

#include <cstring>

namespace p11ha::history {

Bytes ofBool(bool value) { return {static_cast<std::uint8_t>(value ? CK_TRUE : CK_FALSE)}; }
Bytes ofUlong(CK_ULONG value) {
  Bytes bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}
Bytes ofText(std::string_view text) { return {text.begin(), text.end()}; }

std::string textOf(const Attributes& attributes, CK_ATTRIBUTE_TYPE type) {
  const auto found = attributes.find(type);
  return found == attributes.end() ? "" : std::string(found->second.begin(), found->second.end());
}
CK_ULONG ulongOf(const Attributes& attributes, CK_ATTRIBUTE_TYPE type) {
  const auto found = attributes.find(type);
  CK_ULONG value = CK_UNAVAILABLE_INFORMATION;
  if (found != attributes.end() && found->second.size() == sizeof value) {
    std::memcpy(&value, found->second.data(), sizeof value);
  }
  return value;
}
bool isTrue(const Attributes& attributes, CK_ATTRIBUTE_TYPE type) {
  const auto found = attributes.find(type);
  return found != attributes.end() && found->second == ofBool(true);
}
bool isFalse(const Attributes& attributes, CK_ATTRIBUTE_TYPE type) {
  const auto found = attributes.find(type);
  return found != attributes.end() && found->second == ofBool(false);
}

std::string inHex(const Bytes& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const std::uint8_t byte : bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::vector<CK_ATTRIBUTE> templateOf(Attributes& attributes) {
  std::vector<CK_ATTRIBUTE> list;
  for (auto& [type, value] : attributes) list.push_back({type, value.data(), value.size()});
  return list;
}

}  // namespace p11ha::history
