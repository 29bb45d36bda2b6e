// A link and the other end of it, which does what a test tells it.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <vector>

#include "transport/client/link.h"
#include "transport/codec/answer.h"

namespace p11ha::tests {

/// What a server's clock shows.
std::uint64_t millisecondsNow();

/// A server without a module. One thread; whatever it waits for, it waits for ten seconds at most, and then the test
/// has failed.
class LinkPeer {
 public:
  struct Options {
    std::chrono::milliseconds silence{2000};
    std::uint32_t heartbeat = 10;  // ms, as the greeting says
    std::uint32_t maxInFlight = 1024;
    transport::Limits limits{};
    std::chrono::milliseconds pause{0};  // before each read; then a heartbeat goes that names nothing
  };
  /// The link's end is done with its handshake and its greeting.
  explicit LinkPeer(const Options& options);
  LinkPeer();
  ~LinkPeer();

  transport::Link& link() { return *link_; }
  std::unique_ptr<transport::Link> takeLink() { return std::move(link_); }

  /// A frame that came.
  struct Received {
    transport::FrameHeader header;
    transport::Buffer payload;
    bool is(transport::Control control) const { return header.opcode == static_cast<std::uint16_t>(control); }
  };
  /// The next one; the link's end where it is empty.
  std::optional<Received> next();
  /// The next one, a request.
  Received request();

  /// To a request: the Init's answer, if one came with it, then the call's; `fill` sees the call's outputs before.
  using Fill = std::function<void(const transport::Outputs&)>;
  void answer(const Received& request, CK_RV rv, const Fill& fill = {}, CK_RV initRv = CKR_OK);
  void heartbeat(const std::vector<std::uint32_t>& requests, std::uint64_t arrived = transport::Heartbeat::kHoldsBack);
  void send(const transport::Buffer& plain);
  /// Bytes of the network, as they are.
  void sendRaw(std::span<const std::uint8_t> bytes);
  /// The same bytes that send() would send, not sent.
  std::vector<std::uint8_t> seal(const transport::Buffer& plain);
  void close();
  int socket() const { return socket_; }
  std::size_t reads() const { return reads_; }

 private:
  int socket_ = -1;
  std::unique_ptr<transport::TlsChannel> channel_;
  std::unique_ptr<transport::Link> link_;
  transport::FrameReader frames_;
  transport::Limits limits_;
  std::chrono::milliseconds pause_;
  std::vector<std::uint8_t> received_;
  std::size_t reads_ = 0;
};

}  // namespace p11ha::tests
