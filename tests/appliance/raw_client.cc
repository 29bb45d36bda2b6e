#include "tests/appliance/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace p11ha::tests {

using namespace transport;
using cryptoki::Call;

namespace {

constexpr std::chrono::seconds kPatience{20};

}  // namespace

base::Descriptor connectTo(std::uint16_t port, const char* from) {
  base::Descriptor fresh(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in own{};
  own.sin_family = AF_INET;
  inet_pton(AF_INET, from, &own.sin_addr);
  // The port is chosen when it is known to whom: there are more of them then.
  const int late = 1;
  setsockopt(fresh.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof late);
  if (bind(fresh.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) != 0) fresh.reset();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fresh.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fresh.reset();
  const int on = 1;
  setsockopt(fresh.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fresh;
}

bool awaitClose(int socket, Milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  char bytes[65536];
  while (true) {
    const auto left = std::chrono::duration_cast<Milliseconds>(end - std::chrono::steady_clock::now()).count();
    pollfd waiting{socket, POLLIN, 0};
    if (left <= 0 || poll(&waiting, 1, static_cast<int>(left)) <= 0) return false;
    if (recv(socket, bytes, sizeof bytes, 0) <= 0) return true;
  }
}

RawClient::RawClient(std::uint16_t port, const TlsFiles& files, const Destination& destination)
    : destination_(destination), cipher_(1 << 16) {
  auto context = makeTlsContext(TlsSide::Client, files);
  if (!context) {
    error_ = context.error();
    return;
  }
  context_ = std::move(*context);
  socket_ = connectTo(port);
  const timeval patience{kPatience.count(), 0};
  setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  channel_.emplace(TlsChannel::client(*context_, "localhost", alpnOf(destination)));
}

bool RawClient::flush() {
  Buffer& out = channel_->outgoing();
  std::size_t sent = 0;
  while (sent < out.size()) {
    const ssize_t n = ::send(socket_.get(), out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<std::size_t>(n);
  }
  out.clear();
  return true;
}

bool RawClient::fill() {
  const ssize_t size = recv(socket_.get(), cipher_.data(), cipher_.size(), 0);
  if (size <= 0) return false;
  channel_->feed({cipher_.data(), static_cast<std::size_t>(size)});
  return true;
}

bool RawClient::shakeHands() {
  if (!channel_ || !socket_) return false;
  while (true) {
    const auto status = channel_->handshake();
    flush();
    if (status == TlsChannel::Status::Good) return true;
    if (status != TlsChannel::Status::WantInput) {
      error_ = channel_->error();
      return false;
    }
    if (!fill()) {
      error_ = "the connection has ended";
      return false;
    }
  }
}

bool RawClient::greet(std::optional<GreetingRequest> request) {
  if (!shakeHands()) return false;
  if (!request) request = GreetingRequest{kProtocolVersion, destination_.serial, "test"};
  Buffer bytes;
  putGreetingRequest(bytes, *request);
  if (!sendBytes(bytes.bytes())) return false;
  if (!until([this] { return greeted_; })) return false;
  frames_.setLimit(frameLimit(greeting_.limits));
  return true;
}

bool RawClient::sendBytes(std::span<const std::uint8_t> bytes) {
  return channel_->write(bytes) == TlsChannel::Status::Good && flush();
}

bool RawClient::sendFrame(std::uint16_t opcode, std::uint32_t request, std::uint16_t flags,
                          std::span<const std::uint8_t> payload) {
  Buffer bytes;
  putFrame(bytes, request, opcode, flags, [&](Buffer& to) { to.putBytes(payload.data(), payload.size()); });
  return sendBytes(bytes.bytes());
}

// Reads on until something was heard.
bool RawClient::pump() {
  bool heard = false;
  while (true) {
    std::size_t got = 0;
    const auto status = channel_->read(frames_.room(), got);
    frames_.filled(got);
    Frame frame;
    FrameReader::Next next{};
    while ((next = frames_.next(frame)) == FrameReader::Next::Frame) {
      heard = true;
      if (!take(frame)) {
        error_ = "an answer that does not fit";
        return false;
      }
    }
    if (next != FrameReader::Next::Incomplete) return false;
    if (heard) return true;
    if (got != 0) continue;
    if (status != TlsChannel::Status::WantInput) {
      error_ = status == TlsChannel::Status::Closed ? "the connection was closed" : channel_->error();
      return false;
    }
    if (!fill()) {
      error_ = "the connection has ended";
      return false;
    }
  }
}

bool RawClient::take(const Frame& frame) {
  const FrameHeader& header = frame.header;
  switch (static_cast<Control>(header.opcode)) {
    case Control::Greeting:
      if (auto read = readGreeting(frame.payload)) greeting_ = *read, greeted_ = true;
      return greeted_;
    case Control::Heartbeat:
      heartbeat_ = readHeartbeat(frame.payload);
      return heartbeat_.has_value();
    case Control::Goodbye:
      goodbye_ = readGoodbye(frame.payload);
      return goodbye_.has_value();
    case Control::PartitionState:
      if (const auto change = readStateChange(frame.payload)) {
        states_.push_back(*change);
        return true;
      }
      return false;
    default:
      break;
  }
  if (expected_ != 0 && header.request == expected_) return expectedCame_ = true;
  const auto waiting = waiting_.find(header.request);
  if (waiting == waiting_.end() && ending_) return true;
  if (waiting == waiting_.end() || (header.flags & kFlagAnswer) == 0) return false;
  Reader from(frame.payload);
  CK_RV rv = CKR_OK;
  if ((header.flags & kFlagHasInit) != 0) {
    if (!decodeAnswer(from, *pairInit_, pair_.first)) return false;
    if (pair_.first != CKR_OK) {
      answered_[header.request] = pair_.first;
      return from.finished();
    }
  }
  if (!decodeAnswer(from, *waiting->second, rv)) return false;
  pair_.second = rv;
  answered_[header.request] = rv;
  waiting_.erase(waiting);
  return from.finished();
}

template <class Done>
bool RawClient::until(Done done) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end || !pump()) return done();
  }
  return true;
}

std::uint32_t RawClient::send(const Call& call) {
  const std::uint32_t request = next_++;
  auto outputs = std::make_unique<Outputs>();
  Buffer bytes;
  CK_RV rv = CKR_OK;
  putFrame(bytes, request, opcode(call.fn), 0,
           [&](Buffer& to) { rv = encodeRequest(call, greeting_.limits, to, *outputs); });
  if (rv != CKR_OK) {
    answered_[request] = rv;
    return request;
  }
  waiting_.emplace(request, std::move(outputs));
  sendBytes(bytes.bytes());
  return request;
}

std::optional<CK_RV> RawClient::await(std::uint32_t request) {
  if (!until([&] { return answered_.contains(request); })) {
    // What its outputs go to may be gone when an answer comes.
    waiting_.erase(request);
    return std::nullopt;
  }
  return answered_[request];
}

CK_RV RawClient::call(const Call& call) { return await(send(call)).value_or(CKR_DEVICE_REMOVED); }

std::pair<CK_RV, CK_RV> RawClient::callWithInit(const Call& init, const Call& call) {
  const std::uint32_t request = next_++;
  auto outputs = std::make_unique<Outputs>();
  pairInit_ = std::make_unique<Outputs>();
  Buffer bytes;
  putFrame(bytes, request, opcode(call.fn), kFlagHasInit, [&](Buffer& to) {
    encodeRequest(init, greeting_.limits, to, *pairInit_);
    encodeRequest(call, greeting_.limits, to, *outputs);
  });
  waiting_.emplace(request, std::move(outputs));
  pair_ = {CKR_DEVICE_REMOVED, CKR_DEVICE_REMOVED};
  sendBytes(bytes.bytes());
  await(request);
  return pair_;
}

bool RawClient::awaitFrame(std::uint32_t request) {
  expected_ = request;
  expectedCame_ = false;
  return until([this] { return expectedCame_; });
}

std::optional<std::vector<std::uint32_t>> RawClient::awaitHeartbeat() {
  heartbeat_.reset();
  until([this] { return heartbeat_.has_value(); });
  return heartbeat_ ? std::optional(heartbeat_->requests) : std::nullopt;
}

std::optional<StateChange> RawClient::awaitState() {
  if (!until([this] { return !states_.empty(); })) return std::nullopt;
  const StateChange first = states_.front();
  states_.erase(states_.begin());
  return first;
}

bool RawClient::awaitGoodbye() {
  return until([this] { return goodbye_.has_value(); });
}

bool RawClient::awaitEnd() {
  ending_ = true;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (pump()) {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return error_ != "an answer that does not fit";
}

}  // namespace p11ha::tests
