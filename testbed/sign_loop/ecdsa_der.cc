#include "testbed/sign_loop/ecdsa_der.h"

namespace p11ha::testbed {
namespace {

constexpr std::uint8_t kInteger = 0x02;
constexpr std::uint8_t kSequence = 0x30;

void appendInteger(std::vector<std::uint8_t>& der, std::span<const std::uint8_t> number) {
  while (number.size() > 1 && number.front() == 0) number = number.subspan(1);
  const bool looksNegative = !number.empty() && (number.front() & 0x80) != 0;
  der.push_back(kInteger);
  der.push_back(static_cast<std::uint8_t>(number.size() + (looksNegative ? 1 : 0)));
  if (looksNegative) der.push_back(0);
  der.insert(der.end(), number.begin(), number.end());
}

}  // namespace

std::vector<std::uint8_t> ecdsaDer(std::span<const std::uint8_t> raw) {
  std::vector<std::uint8_t> der(2);
  appendInteger(der, raw.first(raw.size() / 2));
  appendInteger(der, raw.subspan(raw.size() / 2));
  der[0] = kSequence;
  der[1] = static_cast<std::uint8_t>(der.size() - 2);
  return der;
}

}  // namespace p11ha::testbed
