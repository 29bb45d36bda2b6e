// A client of an appliance that does what a test tells it, right or wrong.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/descriptor.h"
#include "cryptoki/call.h"
#include "transport/codec/answer.h"
#include "transport/codec/request.h"
#include "transport/tls/channel.h"
#include "transport/wire/client_hello.h"
#include "transport/wire/greeting.h"

namespace p11ha::tests {

using Milliseconds = std::chrono::milliseconds;

/// A TCP connection to this host, from an address of it.
base::Descriptor connectTo(std::uint16_t port, const char* from = "127.0.0.1");
/// Waits for the other side to close; false when it has not in that time. What it sends is dropped.
bool awaitClose(int socket, Milliseconds time = Milliseconds(20000));

/// One TLS connection. One thread. Waits for ever for nothing: after 20 s a wait has failed.
class RawClient {
 public:
  RawClient(std::uint16_t port, const transport::TlsFiles& files, const transport::Destination& destination);

  /// Handshake and greeting; false: error() or goodbye() says why.
  bool greet(std::optional<transport::GreetingRequest> request = std::nullopt);
  bool shakeHands();
  const transport::Greeting& greeting() const { return greeting_; }
  const std::string& error() const { return error_; }
  const std::optional<transport::Goodbye>& goodbye() const { return goodbye_; }

  /// A call, and its answer: CKR_DEVICE_REMOVED where the connection has ended.
  CK_RV call(const cryptoki::Call& call);
  /// The same in one frame: an Init and its call.
  std::pair<CK_RV, CK_RV> callWithInit(const cryptoki::Call& init, const cryptoki::Call& call);

  /// Sends without waiting for the answer, which goes where `call` wants it once await() has seen it.
  std::uint32_t send(const cryptoki::Call& call);
  std::optional<CK_RV> await(std::uint32_t request);
  /// An answer to a request that send() has not made.
  bool awaitFrame(std::uint32_t request);
  /// The requests that the next heartbeat names.
  std::optional<std::vector<std::uint32_t>> awaitHeartbeat();
  std::optional<transport::StateChange> awaitState();
  bool awaitGoodbye();
  /// Waits for the connection's end; false if it does not come.
  bool awaitEnd();

  /// Any plain bytes.
  bool sendBytes(std::span<const std::uint8_t> bytes);
  bool sendFrame(std::uint16_t opcode, std::uint32_t request, std::uint16_t flags,
                 std::span<const std::uint8_t> payload);
  int socket() const { return socket_.get(); }
  void close() { socket_.reset(); }

 private:
  bool flush();
  bool fill();
  bool pump();
  bool take(const transport::Frame& frame);
  template <class Done>
  bool until(Done done);

  transport::TlsContext context_;
  base::Descriptor socket_;
  std::optional<transport::TlsChannel> channel_;
  transport::Destination destination_;
  transport::FrameReader frames_;
  std::vector<std::uint8_t> cipher_;
  transport::Greeting greeting_;
  bool greeted_ = false;
  std::string error_;
  bool ending_ = false;  // what else is answered is not looked at
  std::optional<transport::Goodbye> goodbye_;
  std::uint32_t next_ = 1;
  std::map<std::uint32_t, std::unique_ptr<transport::Outputs>> waiting_;
  std::map<std::uint32_t, CK_RV> answered_;
  std::pair<CK_RV, CK_RV> pair_;
  std::unique_ptr<transport::Outputs> pairInit_;
  std::optional<transport::Heartbeat> heartbeat_;
  std::vector<transport::StateChange> states_;
  std::uint32_t expected_ = 0;  // awaitFrame()
  bool expectedCame_ = false;
};

}  // namespace p11ha::tests
