#include "cli/pin_source.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace p11ha::cli {

using base::Failure;
using base::SecureBytes;

namespace {

constexpr std::size_t kLongest = 255;

std::optional<SecureBytes> atHand(SecureBytes pin) {
  if (pin.empty()) return std::nullopt;
  return pin;
}

base::Result<std::optional<SecureBytes>, std::string> readDescriptor(int descriptor) {
  const std::string where = "file descriptor " + std::to_string(descriptor);
  SecureBytes pin;
  pin.reserve(kLongest + 1);
  for (std::uint8_t byte = 0;;) {
    const ssize_t got = read(descriptor, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failure{where + ": " + std::strerror(errno)};
    if (got == 0 || byte == '\n') {
      const bool isFromDos = byte == '\n' && !pin.empty() && pin.back() == '\r';
      if (isFromDos) pin.pop_back();
      return atHand(std::move(pin));
    }
    if (pin.size() == kLongest) return Failure{where + ": a PIN has at most 255 bytes"};
    pin.push_back(byte);
  }
}

}  // namespace

base::Result<std::optional<SecureBytes>, std::string> readPin(const PinSource& source) {
  if (source.descriptor) return readDescriptor(*source.descriptor);
  const char* const value = std::getenv(source.variable.c_str());
  if (value == nullptr) return std::optional<SecureBytes>();
  const std::size_t length = std::strlen(value);
  if (length > kLongest) return Failure{"variable " + source.variable + ": a PIN has at most 255 bytes"};
  return atHand(SecureBytes(value, value + length));
}

}  // namespace p11ha::cli
