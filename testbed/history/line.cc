#include "testbed/history/line.h"

#include <cstdlib>
#include <sstream>

namespace p11ha::history {
namespace {

std::string hexOf(std::uint64_t number) {
  std::ostringstream out;
  out << std::hex << number;
  return out.str();
}

Bytes bytesOf(const std::string& hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::strtoul(hex.substr(i, 2).c_str(), nullptr, 16)));
  }
  return bytes;
}

}  // namespace

std::optional<Line> Line::parse(const std::string& text) {
  std::istringstream in(text);
  std::string part;
  if (!(in >> part)) return std::nullopt;
  Line line(part);
  while (in >> part) {
    const std::size_t equals = part.find('=');
    if (equals != std::string::npos) line.values_[part.substr(0, equals)] = part.substr(equals + 1);
  }
  return line;
}

Line& Line::put(const std::string& key, const std::string& text) {
  values_[key] = text;
  return *this;
}
Line& Line::put(const std::string& key, std::uint64_t number) { return put(key, std::to_string(number)); }
Line& Line::putBytes(const std::string& key, const Bytes& bytes) { return put(key, inHex(bytes)); }
Line& Line::put(const Attributes& attributes, char prefix) {
  for (const auto& [type, value] : attributes) putBytes(std::string{prefix, '.'} + hexOf(type), value);
  return *this;
}

std::string Line::text(const std::string& key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? "" : found->second;
}
std::uint64_t Line::number(const std::string& key) const { return std::strtoull(text(key).c_str(), nullptr, 10); }
Bytes Line::bytes(const std::string& key) const { return bytesOf(text(key)); }

Attributes Line::attributes(char prefix) const {
  Attributes attributes;
  for (const auto& [key, value] : values_) {
    if (key.size() < 3 || key[0] != prefix || key[1] != '.') continue;
    attributes[std::strtoul(key.c_str() + 2, nullptr, 16)] = bytesOf(value);
  }
  return attributes;
}

std::string Line::text() const {
  std::string all = word_;
  for (const auto& [key, value] : values_) all.append(" ").append(key).append("=").append(value);
  return all + "\n";
}

}  // namespace p11ha::history
