#include "transport/wire/greeting.h"

#include <algorithm>

namespace p11ha::transport {
namespace {

constexpr std::size_t kLongestText = 1024;
constexpr std::size_t kMostPartitions = 1024;

void putText(Buffer& to, std::string_view text) {
  text = text.substr(0, kLongestText);
  to.put(static_cast<std::uint16_t>(text.size()));
  to.putBytes(text.data(), text.size());
}

std::string getText(Reader& from) {
  const auto size = from.get<std::uint16_t>();
  if (size > kLongestText) from.fail();
  const std::uint8_t* const bytes = from.take(size);
  return bytes == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(bytes), size);
}

template <class E>
E getEnum(Reader& from, E last) {
  const auto value = from.get<std::uint8_t>();
  if (value > static_cast<std::uint8_t>(last)) from.fail();
  return static_cast<E>(value);
}
template <class E>
void putEnum(Buffer& to, E value) {
  to.put(static_cast<std::uint8_t>(value));
}

template <class T>
std::optional<T> whole(const Reader& from, T&& value) {
  if (!from.finished()) return std::nullopt;
  return std::forward<T>(value);
}

}  // namespace

std::string_view nameOf(PartitionState state) {
  switch (state) {
    case PartitionState::Active:
      return "active";
    case PartitionState::Deactivated:
      return "deactivated";
    case PartitionState::Revoked:
      break;
  }
  return "revoked";
}

std::string_view nameOf(Authentication authentication) {
  return authentication == Authentication::Ped ? "PED" : "PASSWORD";
}

void putGreetingRequest(Buffer& to, const GreetingRequest& request) {
  putControl(to, Control::GreetingRequest, 0, [&](Buffer& payload) {
    payload.put(request.version);
    putText(payload, request.serial);
    putText(payload, request.application);
  });
}

std::optional<GreetingRequest> readGreetingRequest(std::span<std::uint8_t> payload) {
  Reader from(payload);
  GreetingRequest request;
  request.version = from.get<std::uint16_t>();
  if (request.version != kProtocolVersion) return from.failed() ? std::nullopt : std::optional(request);
  request.serial = getText(from);
  request.application = getText(from);
  return whole(from, std::move(request));
}

void putGreeting(Buffer& to, const Greeting& greeting) {
  putControl(to, Control::Greeting, 0, [&](Buffer& payload) {
    payload.put(greeting.version);
    payload.putBytes(greeting.instance.data(), greeting.instance.size());
    payload.put<std::uint64_t>(greeting.limits.payload);
    payload.put<std::uint64_t>(greeting.limits.outputs);
    payload.put(greeting.maxInFlight);
    payload.put(greeting.heartbeatInterval);
    const std::size_t count = std::min(greeting.partitions.size(), kMostPartitions);
    payload.put(static_cast<std::uint16_t>(count));
    for (std::size_t i = 0; i < count; ++i) {
      const PartitionInfo& partition = greeting.partitions[i];
      putText(payload, partition.serial);
      putText(payload, partition.label);
      putEnum(payload, partition.state);
      putEnum(payload, partition.authentication);
    }
  });
}

std::optional<Greeting> readGreeting(std::span<std::uint8_t> payload) {
  Reader from(payload);
  Greeting greeting;
  greeting.version = from.get<std::uint16_t>();
  if (greeting.version != kProtocolVersion) return from.failed() ? std::nullopt : std::optional(greeting);
  if (const std::uint8_t* const instance = from.take(greeting.instance.size()); instance != nullptr)
    std::copy_n(instance, greeting.instance.size(), greeting.instance.begin());
  greeting.limits.payload = from.get<std::uint64_t>();
  greeting.limits.outputs = from.get<std::uint64_t>();
  greeting.maxInFlight = from.get<std::uint32_t>();
  greeting.heartbeatInterval = from.get<std::uint32_t>();
  const auto count = from.get<std::uint16_t>();
  if (count > kMostPartitions) from.fail();
  for (unsigned i = 0; i < count && !from.failed(); ++i) {
    PartitionInfo partition;
    partition.serial = getText(from);
    partition.label = getText(from);
    partition.state = getEnum(from, PartitionState::Revoked);
    partition.authentication = getEnum(from, Authentication::Ped);
    greeting.partitions.push_back(std::move(partition));
  }
  return whole(from, std::move(greeting));
}

void putGoodbye(Buffer& to, const Goodbye& goodbye) {
  putControl(to, Control::Goodbye, 0, [&](Buffer& payload) {
    putEnum(payload, goodbye.reason);
    putText(payload, goodbye.text);
  });
}

std::optional<Goodbye> readGoodbye(std::span<std::uint8_t> payload) {
  Reader from(payload);
  Goodbye goodbye;
  goodbye.reason = getEnum(from, Farewell::Limit);
  goodbye.text = getText(from);
  return whole(from, std::move(goodbye));
}

void putStateChange(Buffer& to, const StateChange& change) {
  putControl(to, Control::PartitionState, 0, [&](Buffer& payload) {
    putText(payload, change.serial);
    putEnum(payload, change.state);
  });
}

std::optional<StateChange> readStateChange(std::span<std::uint8_t> payload) {
  Reader from(payload);
  StateChange change;
  change.serial = getText(from);
  change.state = getEnum(from, PartitionState::Revoked);
  return whole(from, std::move(change));
}

void putHeartbeat(Buffer& to, const Heartbeat& heartbeat) {
  putControl(to, Control::Heartbeat, 0, [&](Buffer& payload) {
    const std::vector<std::uint32_t>& requests = heartbeat.requests;
    payload.put(heartbeat.sentAt);
    payload.put(heartbeat.arrived);
    payload.put(static_cast<std::uint32_t>(requests.size()));
    payload.putBytes(requests.data(), requests.size() * sizeof requests[0]);
  });
}

std::optional<Heartbeat> readHeartbeat(std::span<std::uint8_t> payload) {
  Reader from(payload);
  Heartbeat heartbeat;
  heartbeat.sentAt = from.get<std::uint64_t>();
  heartbeat.arrived = from.get<std::uint64_t>();
  const auto count = from.get<std::uint32_t>();
  if (from.failed() || from.left() != std::size_t{count} * sizeof(std::uint32_t)) return std::nullopt;
  heartbeat.requests.resize(count);
  for (std::uint32_t& request : heartbeat.requests) request = from.get<std::uint32_t>();
  return whole(from, std::move(heartbeat));
}

void putCancel(Buffer& to, std::uint32_t request) {
  putControl(to, Control::Cancel, request, [](Buffer&) {});
}

}  // namespace p11ha::transport
