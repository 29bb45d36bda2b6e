// The ClientHello names the application and the partition, before the handshake: a server that has a process for each
// application can hand it the connection as it came.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace p11ha::transport {

/// Drawn by each client process, and again in a forked child. All its connections show it.
using ApplicationId = std::array<std::uint8_t, 16>;

std::string hex(std::span<const std::uint8_t> bytes);

/// Who wants to be connected to what.
struct Destination {
  ApplicationId application{};
  std::string serial;  // of the partition; empty: none, only the list of partitions is wanted
};

/// The protocol that the server selects.
inline constexpr std::string_view kProtocolName = "p11ha/1";
inline constexpr std::size_t kLongestSerial = 16;

/// What a client offers by ALPN (RFC 7301), as OpenSSL wants it: "p11ha/1", "app-<32 hex>", "part-<serial in hex>".
std::vector<std::uint8_t> alpnOf(const Destination& destination);

struct ClientHello {
  enum class Kind : std::uint8_t {
    Incomplete,  // more bytes are needed to tell
    Good,        // `destination` is known
    NotTls,
    OldTls,  // without TLS 1.3
    Other,   // TLS, but not of ours: no such protocols, or malformed
  };
  Kind kind = Kind::Incomplete;
  Destination destination;
};

/// What is longer is none of ours.
inline constexpr std::size_t kLongestHello = 8192;

/// Looks at the first bytes of a connection. Pure; any bytes; takes next to no memory.
ClientHello readClientHello(std::span<const std::uint8_t> bytes);

}  // namespace p11ha::transport
