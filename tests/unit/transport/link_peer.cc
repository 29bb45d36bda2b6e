#include "tests/unit/transport/link_peer.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/support/pki.h"
#include "transport/wire/client_hello.h"

namespace p11ha::tests {

using namespace transport;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int kPatience = 10'000;

SSL_CTX& contextOf(TlsSide side) {
  const auto make = [](TlsSide which, const std::string& name) {
    const Pki& pki = Pki::theOne();
    auto made = makeTlsContext(which, {pki.path("ca.pem"), pki.path(name + ".pem"), pki.path(name + ".key")});
    return made ? made->release() : nullptr;
  };
  static SSL_CTX* const client = make(TlsSide::Client, "alice");
  static SSL_CTX* const server = make(TlsSide::Server, "server");
  return side == TlsSide::Client ? *client : *server;
}

}  // namespace

LinkPeer::LinkPeer() : LinkPeer(Options{}) {}

LinkPeer::LinkPeer(const Options& options) : limits_(options.limits), pause_(options.pause), received_(64UL << 10) {
  int ends[2] = {};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::bad_alloc();
  Socket own(ends[0]);
  socket_ = ends[1];
  TlsChannel client = TlsChannel::client(contextOf(TlsSide::Client), "localhost", alpnOf({}));
  channel_ = std::make_unique<TlsChannel>(TlsChannel::server(contextOf(TlsSide::Server)));
  std::vector<std::uint8_t> toServer;
  std::vector<std::uint8_t> toClient;
  const auto carry = [](TlsChannel& from, std::vector<std::uint8_t>& held, TlsChannel& to) {
    const auto bytes = from.outgoing().bytes();
    held.assign(bytes.begin(), bytes.end());
    from.outgoing().clear();
    to.feed(held);
  };
  TlsChannel::Status status{};
  for (int i = 0; i < 4; ++i) {
    static_cast<void>(client.handshake());
    carry(client, toServer, *channel_);
    status = channel_->handshake();
    carry(*channel_, toClient, client);
  }
  EXPECT_EQ(status, TlsChannel::Status::Good) << channel_->error();
  Greeting greeting;
  greeting.limits = options.limits;
  greeting.maxInFlight = options.maxInFlight;
  greeting.heartbeatInterval = options.heartbeat;
  frames_.setLimit(frameLimit(limits_));
  link_ = std::make_unique<Link>(std::move(own), std::move(client), std::make_unique<FrameReader>(), greeting,
                                 PartitionState::Active, LinkPolicy{options.silence});
}

LinkPeer::~LinkPeer() {
  close();
  link_.reset();
}

void LinkPeer::close() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

std::uint64_t millisecondsNow() {
  const auto present = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(present).count());
}

std::optional<LinkPeer::Received> LinkPeer::next() {
  Frame frame;
  while (frames_.next(frame) != FrameReader::Next::Frame) {
    std::size_t got = 0;
    static_cast<void>(channel_->read(frames_.room(), got));
    frames_.filled(got);
    if (got != 0) continue;
    if (pause_.count() != 0) {
      std::this_thread::sleep_for(pause_);
      heartbeat({});
    }
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, kPatience) <= 0) {
      ADD_FAILURE() << "nothing has come";
      return std::nullopt;
    }
    const ssize_t count = recv(socket_, received_.data(), received_.size(), 0);
    if (count <= 0) return std::nullopt;
    ++reads_;
    channel_->feed({received_.data(), static_cast<std::size_t>(count)});
  }
  Received received{frame.header, {}};
  received.payload.putBytes(frame.payload.data(), frame.payload.size());
  return received;
}

LinkPeer::Received LinkPeer::request() {
  auto received = next();
  if (received && received->header.opcode < kFirstControl) return std::move(*received);
  ADD_FAILURE() << "what came is no request";
  return {};
}

void LinkPeer::answer(const Received& request, CK_RV rv, const Fill& fill, CK_RV initRv) {
  Buffer payload;
  payload.putBytes(request.payload.data(), request.payload.size());
  Reader from(payload.bytes());
  Arena arena(arenaBound(limits_));
  Outputs initOutputs;
  Outputs outputs;
  const bool hasInit = (request.header.flags & kFlagHasInit) != 0;
  if (hasInit) {
    ASSERT_TRUE(decodeRequest(from, limits_, arena, initOutputs).ok());
  }
  ASSERT_TRUE(decodeRequest(from, limits_, arena, outputs).ok());
  if (fill) fill(outputs);
  Buffer plain;
  putFrame(plain, request.header.request, request.header.opcode,
           static_cast<std::uint16_t>(request.header.flags | kFlagAnswer), [&](Buffer& to) {
             if (hasInit) encodeAnswer(initRv, initOutputs, to);
             if (initRv == CKR_OK) encodeAnswer(rv, outputs, to);
           });
  send(plain);
}

void LinkPeer::heartbeat(const std::vector<std::uint32_t>& requests, std::uint64_t arrived) {
  Buffer plain;
  putHeartbeat(plain, {millisecondsNow(), arrived, requests});
  send(plain);
}

std::vector<std::uint8_t> LinkPeer::seal(const Buffer& plain) {
  EXPECT_EQ(channel_->write(plain.bytes()), TlsChannel::Status::Good);
  const auto bytes = channel_->outgoing().bytes();
  std::vector<std::uint8_t> sealed(bytes.begin(), bytes.end());
  channel_->outgoing().clear();
  return sealed;
}

void LinkPeer::send(const Buffer& plain) { sendRaw(seal(plain)); }

void LinkPeer::sendRaw(std::span<const std::uint8_t> bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;
    sent += static_cast<std::size_t>(count);
  }
}

}  // namespace p11ha::tests
