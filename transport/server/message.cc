#include "transport/server/message.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace p11ha::transport {
namespace {

constexpr std::size_t kLongestMessage = 1UL << 20;
constexpr std::size_t kMostDescriptors = 8;

void putText(Buffer& to, std::string_view text) {
  to.put<std::uint32_t>(static_cast<std::uint32_t>(text.size()));
  to.putBytes(text.data(), text.size());
}
std::string getText(Reader& from) {
  const auto size = from.get<std::uint32_t>();
  const std::uint8_t* const bytes = from.take(size);
  return bytes == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(bytes), size);
}
void putFlag(Buffer& to, bool flag) { to.put<std::uint8_t>(flag ? 1 : 0); }
bool getFlag(Reader& from) { return from.get<std::uint8_t>() != 0; }

template <class List, class PutOne>
void putList(Buffer& to, const List& list, PutOne putOne) {
  to.put<std::uint32_t>(static_cast<std::uint32_t>(list.size()));
  for (const auto& one : list) putOne(one);
}
template <class GetOne>
void getList(Reader& from, GetOne getOne) {
  for (auto count = from.get<std::uint32_t>(); count != 0 && !from.failed(); --count) getOne();
}

// What has neither pointers nor a need to be understood by another build.
template <class T>
void putPlain(Buffer& to, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  to.putBytes(&value, sizeof value);
}
template <class T>
T getPlain(Reader& from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  if (const std::uint8_t* const bytes = from.take(sizeof value); bytes != nullptr)
    std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

void put(Buffer& to, const WorkerSetup& setup) {
  putPlain(to, setup.instance);
  putFlag(to, setup.survey);
  putFlag(to, setup.module.has_value());
  to.put<std::uint64_t>(setup.module.value_or(0));
  putList(to, setup.modules, [&](const ServedModule& module) {
    putText(to, module.path);
    putText(to, module.reserved);
  });
  putList(to, setup.partitions, [&](const Partition& partition) {
    putText(to, partition.serial);
    putText(to, partition.label);
    to.put<std::uint64_t>(partition.module);
    putPlain(to, partition.authentication);
    to.put<std::uint32_t>(static_cast<std::uint32_t>(partition.pedPin.size()));
    to.putBytes(partition.pedPin.data(), partition.pedPin.size());
  });
  putList(to, setup.clients, [&](const AllowedClient& client) {
    putText(to, client.name);
    putText(to, client.fingerprint);
    putFlag(to, client.all);
    putList(to, client.partitions, [&](const std::string& name) { putText(to, name); });
  });
  putPlain(to, setup.limits);
  putPlain(to, setup.logLevel);
}

template <>
WorkerSetup get<WorkerSetup>(Reader& from) {
  WorkerSetup setup;
  setup.instance = getPlain<InstanceId>(from);
  setup.survey = getFlag(from);
  const bool hasModule = getFlag(from);
  const auto module = from.get<std::uint64_t>();
  if (hasModule) setup.module = module;
  getList(from, [&] {
    std::string path = getText(from);
    setup.modules.push_back({std::move(path), getText(from)});
  });
  getList(from, [&] {
    Partition partition;
    partition.serial = getText(from);
    partition.label = getText(from);
    partition.module = from.get<std::uint64_t>();
    partition.authentication = getPlain<Authentication>(from);
    const auto size = from.get<std::uint32_t>();
    if (const std::uint8_t* const pin = from.take(size); pin != nullptr) partition.pedPin.assign(pin, pin + size);
    setup.partitions.push_back(std::move(partition));
  });
  getList(from, [&] {
    AllowedClient client;
    client.name = getText(from);
    client.fingerprint = getText(from);
    client.all = getFlag(from);
    getList(from, [&] { client.partitions.push_back(getText(from)); });
    setup.clients.push_back(std::move(client));
  });
  setup.limits = getPlain<ServerLimits>(from);
  setup.logLevel = getPlain<LogLevel>(from);
  return setup;
}

void put(Buffer& to, const HandedConnection& connection) {
  to.put(connection.id);
  putPlain(to, connection.destination.application);
  putText(to, connection.destination.serial);
  putText(to, connection.address);
  putPlain(to, connection.until.time_since_epoch().count());
}

template <>
HandedConnection get<HandedConnection>(Reader& from) {
  HandedConnection connection;
  connection.id = from.get<std::uint64_t>();
  connection.destination.application = getPlain<ApplicationId>(from);
  connection.destination.serial = getText(from);
  connection.address = getText(from);
  connection.until = base::Monotonic(base::Monotonic::duration(getPlain<base::Monotonic::rep>(from)));
  return connection;
}

void put(Buffer& to, const StandingsUpdate& update) {
  to.put(update.sequence);
  putList(to, update.standings, [&](const auto& entry) {
    putText(to, entry.first);
    putFlag(to, entry.second.deactivated);
    to.put(entry.second.deactivations);
    putFlag(to, entry.second.revoked);
    putList(to, entry.second.revokedFrom, [&](const std::string& name) { putText(to, name); });
  });
}

template <>
StandingsUpdate get<StandingsUpdate>(Reader& from) {
  StandingsUpdate update;
  update.sequence = from.get<std::uint64_t>();
  getList(from, [&] {
    std::string serial = getText(from);
    Standing standing;
    standing.deactivated = getFlag(from);
    standing.deactivations = from.get<std::uint64_t>();
    standing.revoked = getFlag(from);
    getList(from, [&] { standing.revokedFrom.insert(getText(from)); });
    update.standings.emplace(std::move(serial), std::move(standing));
  });
  return update;
}

void put(Buffer& to, const ConnectionReady& ready) {
  to.put(ready.id);
  putText(to, ready.client.name);
  putText(to, ready.client.fingerprint);
  putText(to, ready.application);
  putText(to, ready.serial);
}

template <>
ConnectionReady get<ConnectionReady>(Reader& from) {
  ConnectionReady ready;
  ready.id = from.get<std::uint64_t>();
  ready.client.name = getText(from);
  ready.client.fingerprint = getText(from);
  ready.application = getText(from);
  ready.serial = getText(from);
  return ready;
}

void put(Buffer& to, const DroppedConnection& dropped) {
  to.put(dropped.id);
  putText(to, dropped.why);
}

template <>
DroppedConnection get<DroppedConnection>(Reader& from) {
  DroppedConnection dropped;
  dropped.id = from.get<std::uint64_t>();
  dropped.why = getText(from);
  return dropped;
}

void put(Buffer& to, const SurveyResult& result) {
  putText(to, result.error);
  putList(to, result.tokens, [&](const SurveyedToken& token) {
    putText(to, token.serial);
    putText(to, token.label);
  });
}

template <>
SurveyResult get<SurveyResult>(Reader& from) {
  SurveyResult result;
  result.error = getText(from);
  getList(from, [&] {
    std::string serial = getText(from);
    result.tokens.push_back({std::move(serial), getText(from)});
  });
  return result;
}

void put(Buffer& to, const WorkerCounts& counts) { putPlain(to, counts); }
template <>
WorkerCounts get<WorkerCounts>(Reader& from) {
  return getPlain<WorkerCounts>(from);
}

void put(Buffer& to, std::uint64_t number) { to.put(number); }
template <>
std::uint64_t get<std::uint64_t>(Reader& from) {
  return from.get<std::uint64_t>();
}

bool sendMessage(int socket, MessageKind kind, const Buffer& payload, const std::vector<int>& descriptors, bool wait) {
  iovec parts[2] = {{&kind, sizeof kind}, {const_cast<std::uint8_t*>(payload.data()), payload.size()}};
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))] = {};
  if (!descriptors.empty() && descriptors.size() <= kMostDescriptors) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
    cmsghdr* const first = CMSG_FIRSTHDR(&header);
    first->cmsg_level = SOL_SOCKET;
    first->cmsg_type = SCM_RIGHTS;
    first->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::memcpy(CMSG_DATA(first), descriptors.data(), descriptors.size() * sizeof(int));
  }
  while (sendmsg(socket, &header, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) < 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

Received receiveMessage(int socket, Message& message, bool wait) {
  message.descriptors.clear();
  // The packet's length first: memory for what is there, and no more.
  ssize_t size = 0;
  do {
    size = recv(socket, nullptr, 0, MSG_PEEK | MSG_TRUNC | (wait ? 0 : MSG_DONTWAIT));
  } while (size < 0 && errno == EINTR);
  if (size < 0) return errno == EAGAIN ? Received::Nothing : Received::Ended;
  if (size == 0 || static_cast<std::size_t>(size) > kLongestMessage) return Received::Ended;
  message.bytes.resize(static_cast<std::size_t>(size) - 1);
  iovec parts[2] = {{&message.kind, sizeof message.kind}, {message.bytes.data(), message.bytes.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  do {
    size = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return Received::Ended;
  for (cmsghdr* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= one->cmsg_len; at += sizeof(int)) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(one) + at, sizeof descriptor);
      message.descriptors.emplace_back(descriptor);
    }
  }
  return Received::Message;
}

std::optional<std::pair<base::Descriptor, base::Descriptor>> makeMessageSockets() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return std::nullopt;
  const int room = static_cast<int>(kLongestMessage);
  for (const int end : ends) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  return std::pair{base::Descriptor(ends[0]), base::Descriptor(ends[1])};
}

}  // namespace p11ha::transport
