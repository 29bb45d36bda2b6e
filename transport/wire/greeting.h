// What control frames carry.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "transport/codec/limits.h"
#include "transport/codec/reader.h"
#include "transport/wire/frame.h"

namespace p11ha::transport {

enum class PartitionState : std::uint8_t { Active = 0, Deactivated = 1, Revoked = 2 };
enum class Authentication : std::uint8_t { Password = 0, Ped = 1 };
/// "active", "deactivated", "revoked"; "PASSWORD", "PED".
std::string_view nameOf(PartitionState state);
std::string_view nameOf(Authentication authentication);

/// A partition as a client sees it.
struct PartitionInfo {
  std::string serial;
  std::string label;
  PartitionState state = PartitionState::Active;
  Authentication authentication = Authentication::Password;
};

/// A client's first frame.
struct GreetingRequest {
  std::uint16_t version = kProtocolVersion;
  std::string serial;       // the partition that the connection is to serve; empty: none, only the list is wanted
  std::string application;  // for log lines
};

using InstanceId = std::array<std::uint8_t, 16>;

/// The longest payload after the greeting: a call, and an Init before it.
constexpr std::size_t frameLimit(const Limits& limits) { return limits.payload + (64UL << 10); }

/// The server's answer.
struct Greeting {
  std::uint16_t version = kProtocolVersion;
  InstanceId instance{};                  // another one than before: no session and no object handle is valid any more
  std::vector<PartitionInfo> partitions;  // that this certificate may use
  Limits limits;
  std::uint32_t maxInFlight = 0;        // requests on one connection
  std::uint32_t heartbeatInterval = 0;  // ms
};

enum class Farewell : std::uint8_t {
  Closing = 0,       // nothing is wrong
  ShuttingDown = 1,  // the server is drained
  Version = 2,       // it speaks another version
  NotAllowed = 3,    // the certificate may not use that partition
  NoPartition = 4,   // there is none of that serial number, or its module does not work
  Protocol = 5,      // the peer sent what nobody may send
  Limit = 6,         // too many connections, clients, requests
};
struct Goodbye {
  Farewell reason = Farewell::Closing;
  std::string text;  // for log lines
};

struct StateChange {
  std::string serial;
  PartitionState state = PartitionState::Active;
};

/// A server's sign of life.
struct Heartbeat {
  /// It reads nothing for the moment, on purpose: of how much arrives, that says nothing.
  static constexpr std::uint64_t kHoldsBack = ~std::uint64_t{0};

  std::uint64_t sentAt = 0;             // ms, by a clock of the server's own that only runs forward
  std::uint64_t arrived = kHoldsBack;   // bytes of frames after the client's greeting
  std::vector<std::uint32_t> requests;  // that are still worked on
};

/// Append the frame. May throw std::bad_alloc.
void putGreetingRequest(Buffer& to, const GreetingRequest& request);
void putGreeting(Buffer& to, const Greeting& greeting);
void putGoodbye(Buffer& to, const Goodbye& goodbye);
void putStateChange(Buffer& to, const StateChange& change);
void putHeartbeat(Buffer& to, const Heartbeat& heartbeat);
void putCancel(Buffer& to, std::uint32_t request);

/// Read a payload; nothing where it is none of that kind. A greeting of another version has but the version.
std::optional<GreetingRequest> readGreetingRequest(std::span<std::uint8_t> payload);
std::optional<Greeting> readGreeting(std::span<std::uint8_t> payload);
std::optional<Goodbye> readGoodbye(std::span<std::uint8_t> payload);
std::optional<StateChange> readStateChange(std::span<std::uint8_t> payload);
std::optional<Heartbeat> readHeartbeat(std::span<std::uint8_t> payload);

}  // namespace p11ha::transport
