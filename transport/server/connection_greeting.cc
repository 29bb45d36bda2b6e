// The beginning of a connection, up to its greeting, and its last words.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "transport/server/connection.h"
#include "transport/server/worker.h"

namespace p11ha::transport {
namespace {

constexpr std::chrono::milliseconds kLinger{500};
constexpr int kKeepAliveIdle = 20;
constexpr int kKeepAliveInterval = 5;
constexpr int kKeepAliveCount = 4;

void setTimeout(int socket, int option, std::chrono::milliseconds time) {
  const auto milliseconds = std::max<std::int64_t>(time.count(), 1);
  const timeval value{milliseconds / 1000, (milliseconds % 1000) * 1000};
  setsockopt(socket, SOL_SOCKET, option, &value, sizeof value);
}

using base::now;

}  // namespace

void Connection::serve() {
  const int fd = socket_.get();
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveIdle, sizeof kKeepAliveIdle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepAliveInterval, sizeof kKeepAliveInterval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kKeepAliveCount, sizeof kKeepAliveCount);
  setTimeout(fd, SO_SNDTIMEO, bounds_.send);
  try {
    if (shakeHands()) {
      if (const auto goodbye = greet()) {
        worker_.log().warning(handed_.address + ": refused: " + goodbye->text);
        sayGoodbye(*goodbye);
      } else {
        const timeval never{};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
        return read();
      }
    }
  } catch (const std::bad_alloc&) {
    worker_.log().error(handed_.address + ": no memory left for it");
  }
  end();
}

void Connection::refuse(const std::string& why) { worker_.log().warning(handed_.address + ": refused: " + why); }

// More bytes of the network, before the time is over. Only before the greeting.
bool Connection::feedUntil(base::Monotonic until) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now());
    if (left.count() <= 0) return false;
    setTimeout(socket_.get(), SO_RCVTIMEO, left);
    const ssize_t size = recv(socket_.get(), cipher_.data(), cipher_.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    base::Lock lock(channelMutex_);
    channel_.feed({cipher_.data(), static_cast<std::size_t>(size)});
    return true;
  }
}

bool Connection::shakeHands() {
  const auto until = handed_.until;
  while (true) {
    TlsChannel::Status status{};
    std::string error;
    {
      base::Lock lock(channelMutex_);
      status = channel_.handshake();
      error = channel_.error();
    }
    outbox_.flushAll();
    if (status == TlsChannel::Status::Good) break;
    if (status != TlsChannel::Status::WantInput) {
      refuse(error.empty() ? "the handshake was broken off" : error);
      linger();
      return false;
    }
    if (feedUntil(until)) continue;
    base::Lock lock(mutex_);
    // Whoever has dropped it has said so.
    if (why_.empty())
      refuse(now() >= until ? "it has not finished the handshake in time" : "it broke off the handshake");
    return false;
  }
  base::Lock lock(channelMutex_);
  client_ = {channel_.peerName(), channel_.peerFingerprint()};
  return true;
}

std::optional<Frame> Connection::firstFrame(base::Monotonic until) {
  Frame frame;
  while (true) {
    if (!decrypt()) return std::nullopt;
    switch (frames_.next(frame)) {
      case FrameReader::Next::Frame:
        return frame;
      case FrameReader::Next::Incomplete:
        break;
      default:
        return std::nullopt;
    }
    if (!feedUntil(until)) return std::nullopt;
  }
}

// Nothing where all is well.
std::optional<Goodbye> Connection::greet() {
  const auto frame = firstFrame(handed_.until);
  if (!frame || frame->header.opcode != static_cast<std::uint16_t>(Control::GreetingRequest) ||
      frame->header.flags != 0)
    return Goodbye{Farewell::Protocol, "it does not greet"};
  const auto request = readGreetingRequest(frame->payload);
  if (!request) return Goodbye{Farewell::Protocol, "its greeting is malformed"};
  if (request->version != kProtocolVersion) {
    return Goodbye{Farewell::Version, "it speaks version " + std::to_string(request->version) +
                                          " of the protocol, not " + std::to_string(kProtocolVersion)};
  }
  if (request->serial != handed_.destination.serial)
    return Goodbye{Farewell::Protocol, "its greeting asks for another partition than its ClientHello"};
  Worker::Admission admission = worker_.admit(client_, request->serial);
  if (admission.refused) return admission.refused;
  application_ = request->application;
  limits_ = admission.greeting.limits;
  maxInFlight_ = admission.greeting.maxInFlight;
  frames_.setLimit(frameLimit(limits_));
  arrived_.fetch_sub(kFrameHeaderSize + frame->payload.size(), std::memory_order_relaxed);
  token_.store(admission.token, std::memory_order_release);
  worker_.ready(*this, client_, application_, request->serial);
  outbox_.post([&](Buffer& to) { putGreeting(to, admission.greeting); });
  outbox_.flush();
  greeted_.store(true, std::memory_order_release);
  worker_.log().info(handed_.address + ": client " + client_.name + ", application " + application_ + " at " +
                     (request->serial.empty() ? "the list of partitions" : "partition " + request->serial));
  return std::nullopt;
}

void Connection::sayGoodbye(const Goodbye& goodbye) {
  outbox_.post([&](Buffer& to) { putGoodbye(to, goodbye); });
  outbox_.flush();
  {
    base::Lock lock(channelMutex_);
    channel_.end();
  }
  outbox_.flushAll();
  linger();
}

// What was sent must not be lost to a reset, which it would be if bytes of the client's were left unread.
void Connection::linger() {
  // The supervisor waits for no client; and this process does not end before that client has read.
  lingering_ = std::make_shared<Worker::Activity>(worker_);
  worker_.closed(*this);
  ::shutdown(socket_.get(), SHUT_WR);
  const auto until = now() + kLinger;
  while (now() < until) {
    setTimeout(socket_.get(), SO_RCVTIMEO, std::chrono::ceil<std::chrono::milliseconds>(until - now()));
    if (recv(socket_.get(), cipher_.data(), cipher_.size(), 0) <= 0) return;
  }
}

}  // namespace p11ha::transport
