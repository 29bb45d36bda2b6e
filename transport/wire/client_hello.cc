#include "transport/wire/client_hello.h"

namespace p11ha::transport {
namespace {

constexpr std::string_view kApplication = "app-";
constexpr std::string_view kPartition = "part-";

// Big endian, as TLS has it. Whatever is read past the end is zero, and failed from then on.
class Cursor {
 public:
  explicit Cursor(std::span<const std::uint8_t> bytes) : left_(bytes) {}

  std::size_t number(std::size_t bytes) {
    std::size_t value = 0;
    for (const std::uint8_t byte : take(bytes)) value = value << 8 | byte;
    return value;
  }
  std::span<const std::uint8_t> take(std::size_t count) {
    if (count > left_.size()) {
      failed_ = true;
      left_ = {};
      return {};
    }
    const auto taken = left_.first(count);
    left_ = left_.subspan(count);
    return taken;
  }
  /// What a length of so many bytes announces.
  Cursor vector(std::size_t lengthBytes) {
    const std::size_t length = number(lengthBytes);
    const auto bytes = take(length);
    Cursor within(bytes);
    within.failed_ = failed_;
    return within;
  }
  bool empty() const { return left_.empty(); }
  bool failed() const { return failed_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(left_.data()), left_.size()}; }

 private:
  std::span<const std::uint8_t> left_;
  bool failed_ = false;
};

std::optional<std::string> fromHex(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    if (digit(text[i]) < 0 || digit(text[i + 1]) < 0) return std::nullopt;
    bytes += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
  }
  return bytes;
}

// The handshake message, which may be spread over records.
std::optional<std::vector<std::uint8_t>> message(std::span<const std::uint8_t> bytes, ClientHello::Kind& otherwise) {
  std::vector<std::uint8_t> whole;
  while (true) {
    if (bytes.size() < 5) {
      // What is there must look like TLS already.
      const bool tls = (bytes.empty() || bytes[0] == 22) && (bytes.size() < 2 || bytes[1] == 3);
      otherwise = tls ? ClientHello::Kind::Incomplete : ClientHello::Kind::NotTls;
      return std::nullopt;
    }
    const std::size_t length = static_cast<std::size_t>(bytes[3]) << 8 | bytes[4];
    if (bytes[0] != 22 || bytes[1] != 3 || length == 0 || length > (1U << 14)) {
      otherwise = ClientHello::Kind::NotTls;
      return std::nullopt;
    }
    const auto part = bytes.subspan(5, std::min(length, bytes.size() - 5));
    whole.insert(whole.end(), part.begin(), part.end());
    if (!whole.empty() && whole[0] != 1) {
      otherwise = ClientHello::Kind::Other;
      return std::nullopt;
    }
    if (whole.size() >= 4) {
      const std::size_t size =
          4 + (static_cast<std::size_t>(whole[1]) << 16 | static_cast<std::size_t>(whole[2]) << 8 | whole[3]);
      if (size > kLongestHello) {
        otherwise = ClientHello::Kind::Other;
        return std::nullopt;
      }
      if (whole.size() >= size) {
        whole.resize(size);
        return whole;
      }
    }
    if (part.size() < length) {
      otherwise = ClientHello::Kind::Incomplete;
      return std::nullopt;
    }
    bytes = bytes.subspan(5 + length);
  }
}

bool takeProtocol(std::string_view name, Destination& destination, unsigned& found) {
  if (name == kProtocolName) {
    found |= 1;
  } else if (name.starts_with(kApplication)) {
    const auto id = fromHex(name.substr(kApplication.size()));
    if (!id || id->size() != destination.application.size()) return false;
    std::copy(id->begin(), id->end(), destination.application.begin());
    found |= 2;
  } else if (name.starts_with(kPartition)) {
    auto serial = fromHex(name.substr(kPartition.size()));
    if (!serial || serial->size() > kLongestSerial) return false;
    destination.serial = std::move(*serial);
    found |= 4;
  }
  return true;
}

}  // namespace

std::string hex(std::span<const std::uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::vector<std::uint8_t> alpnOf(const Destination& destination) {
  const std::string_view serial = std::string_view(destination.serial).substr(0, kLongestSerial);
  std::vector<std::uint8_t> alpn;
  const auto add = [&alpn](const std::string& name) {
    alpn.push_back(static_cast<std::uint8_t>(name.size()));
    alpn.insert(alpn.end(), name.begin(), name.end());
  };
  add(std::string(kProtocolName));
  add(std::string(kApplication) + hex(destination.application));
  add(std::string(kPartition) + hex({reinterpret_cast<const std::uint8_t*>(serial.data()), serial.size()}));
  return alpn;
}

ClientHello readClientHello(std::span<const std::uint8_t> bytes) {
  ClientHello hello;
  const auto whole = message(bytes, hello.kind);
  if (!whole) {
    if (hello.kind == ClientHello::Kind::Incomplete && bytes.size() > kLongestHello)
      hello.kind = ClientHello::Kind::Other;
    return hello;
  }
  hello.kind = ClientHello::Kind::Other;
  Cursor at(*whole);
  at.take(4 + 2 + 32);  // type, length, version, random
  at.vector(1);         // session
  at.vector(2);         // cipher suites
  at.vector(1);         // compression
  bool tls13 = false;
  unsigned found = 0;
  Cursor extensions = at.vector(2);
  while (!extensions.empty()) {
    const std::size_t type = extensions.number(2);
    Cursor content = extensions.vector(2);
    if (extensions.failed()) return hello;
    if (type == 43) {  // supported_versions (RFC 8446, 4.2.1)
      Cursor versions = content.vector(1);
      while (!versions.empty()) tls13 = versions.number(2) == 0x0304 || tls13;
    } else if (type == 16) {  // ALPN
      Cursor names = content.vector(2);
      while (!names.empty()) {
        const Cursor name = names.vector(1);
        if (names.failed() || !takeProtocol(name.text(), hello.destination, found)) return hello;
      }
    }
  }
  if (at.failed()) return hello;
  if (!tls13) {
    hello.kind = ClientHello::Kind::OldTls;
  } else if (found == 7) {
    hello.kind = ClientHello::Kind::Good;
  }
  return hello;
}

}  // namespace p11ha::transport
