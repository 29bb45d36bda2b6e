// What the supervisor and its workers say to each other: one packet a message, descriptors with it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/descriptor.h"
#include "transport/codec/buffer.h"
#include "transport/codec/reader.h"
#include "transport/server/access.h"
#include "transport/wire/client_hello.h"

namespace p11ha::transport {

/// How a worker is to serve. With it go the descriptors of WorkerFiles.
struct WorkerSetup {
  InstanceId instance{};
  /// To load the module, tell which tokens it shows, and end.
  bool survey = false;
  /// None: nothing but the list of partitions.
  std::optional<std::size_t> module;
  std::vector<ServedModule> modules;
  std::vector<Partition> partitions;
  std::vector<AllowedClient> clients;
  ServerLimits limits;
  LogLevel logLevel = LogLevel::Info;
};

/// A connection to be served, its socket with it.
struct HandedConnection {
  std::uint64_t id = 0;
  Destination destination;
  std::string address;    // of the peer, for log lines
  base::Monotonic until;  // by then it has greeted: the clock is the same in all processes
};

/// How the partitions are now.
struct StandingsUpdate {
  std::uint64_t sequence = 0;
  Standings standings;
};

/// A connection whose client has shown who it is.
struct ConnectionReady {
  std::uint64_t id = 0;
  ClientIdentity client;
  std::string application;
  std::string serial;
};

/// A connection that is to be closed.
struct DroppedConnection {
  std::uint64_t id = 0;
  std::string why;
};

struct SurveyedToken {
  std::string serial;
  std::string label;
};
struct SurveyResult {
  std::string error;  // why there are none
  std::vector<SurveyedToken> tokens;
};

struct WorkerCounts {
  std::uint64_t sessions = 0;
  std::uint64_t inFlight = 0;
  std::uint64_t calls = 0;  // since its start
};

enum class MessageKind : std::uint8_t {
  Setup,       // to the worker: WorkerSetup; again after a reload
  Connection,  // to the worker: HandedConnection
  Update,      // to the worker: StandingsUpdate
  Drop,        // to the worker: DroppedConnection
  Drain,       // to the worker: finish what is in flight, take no more, end
  Surveyed,    // from the worker: SurveyResult
  Ready,       // from the worker: ConnectionReady
  Closed,      // from the worker: the id of a connection that is no more
  Applied,     // from the worker: the sequence of standings that are in force
  Counts,      // from the worker: WorkerCounts
};

/// The descriptors beside a WorkerSetup, in this order.
enum WorkerFile : std::size_t { kAuthorities, kCertificate, kPrivateKey, kLogFile, kWorkerFiles };

void put(Buffer& to, const WorkerSetup& setup);
void put(Buffer& to, const HandedConnection& connection);
void put(Buffer& to, const StandingsUpdate& update);
void put(Buffer& to, const ConnectionReady& ready);
void put(Buffer& to, const DroppedConnection& dropped);
void put(Buffer& to, const SurveyResult& result);
void put(Buffer& to, const WorkerCounts& counts);
void put(Buffer& to, std::uint64_t number);

/// The other side is of the same program: what does not fit is a fault in it, and gives what was read so far.
template <class T>
T get(Reader& from);
template <>
WorkerSetup get(Reader& from);
template <>
HandedConnection get(Reader& from);
template <>
StandingsUpdate get(Reader& from);
template <>
ConnectionReady get(Reader& from);
template <>
DroppedConnection get(Reader& from);
template <>
SurveyResult get(Reader& from);
template <>
WorkerCounts get(Reader& from);
template <>
std::uint64_t get(Reader& from);

/// A packet that came.
struct Message {
  MessageKind kind{};
  std::vector<base::Descriptor> descriptors;
  base::SecureBytes bytes;

  template <class T>
  T as() {
    Reader from(bytes);
    return get<T>(from);
  }
};

/// Sends without waiting where `wait` is false. False: the other side has gone, or has not read for long.
bool sendMessage(int socket, MessageKind kind, const Buffer& payload, const std::vector<int>& descriptors, bool wait);
template <class T>
bool sendMessage(int socket, MessageKind kind, const T& value, const std::vector<int>& descriptors = {},
                 bool wait = false) {
  Buffer payload;
  put(payload, value);
  return sendMessage(socket, kind, payload, descriptors, wait);
}

/// What came of a receipt.
enum class Received : std::uint8_t { Message, Nothing, Ended };
/// Waits where `wait` is true.
Received receiveMessage(int socket, Message& message, bool wait);

/// A pair of sockets for it, both closed on exec.
std::optional<std::pair<base::Descriptor, base::Descriptor>> makeMessageSockets();

}  // namespace p11ha::transport
