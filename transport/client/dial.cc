#include "transport/client/dial.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace p11ha::transport {
namespace {

// A connection under way. Whatever goes wrong is noted once.
class Dialling {
 public:
  Dialling(Socket socket, TlsChannel channel, const Patience& patience)
      : socket_(std::move(socket)), channel_(std::move(channel)), patience_(patience) {}

  bool shakeHands() {
    while (true) {
      const TlsChannel::Status status = channel_.handshake();
      // Also where it has failed: the server is to hear why.
      const bool sent = flush();
      if (status == TlsChannel::Status::Good) return sent;
      if (status != TlsChannel::Status::WantInput) return failed(status);
      if (!sent || !receive()) return false;
    }
  }

  void say(const GreetingRequest& request) {
    Buffer plain;
    putGreetingRequest(plain, request);
    static_cast<void>(channel_.write(plain.bytes()));
    // A server that takes no more may have said why: that is to be read.
    static_cast<void>(flush());
    problem_.clear();
  }

  std::optional<Frame> hear() {
    Frame frame;
    while (true) {
      switch (frames_->next(frame)) {
        case FrameReader::Next::Frame:
          return frame;
        case FrameReader::Next::Incomplete:
          break;
        default:
          problem_ = "it does not speak this protocol";
          return std::nullopt;
      }
      std::size_t got = 0;
      const TlsChannel::Status status = channel_.read(frames_->room(), got);
      frames_->filled(got);
      if (got != 0) continue;
      if (status != TlsChannel::Status::WantInput) {
        failed(status);
        return std::nullopt;
      }
      if (!receive()) return std::nullopt;
    }
  }

  const std::string& problem() const { return problem_; }
  Dialled done(Greeting greeting) {
    // What was received must not be left where it is.
    while (!channel_.drained()) {
      std::size_t got = 0;
      static_cast<void>(channel_.read(frames_->room(), got));
      frames_->filled(got);
      if (got == 0) break;
    }
    return {std::move(socket_), std::move(channel_), std::move(frames_), std::move(greeting)};
  }

  /// The greeting may be longer than what comes before one.
  static constexpr std::size_t kLongestGreeting = 4UL << 20;

 private:
  bool failed(TlsChannel::Status status) {
    problem_ = status == TlsChannel::Status::Closed ? "it has ended the connection" : channel_.error();
    return false;
  }

  bool waitFor(short events) {
    while (!patience_.ended()) {
      pollfd waiting{socket_.get(), events, 0};
      const int ready = poll(&waiting, 1, patience_.milliseconds());
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) break;
    }
    problem_ = "no answer in time";
    return false;
  }

  bool flush() {
    Buffer& sealed = channel_.outgoing();
    for (std::size_t sent = 0; sent < sealed.size();) {
      const ssize_t count = ::send(socket_.get(), sealed.data() + sent, sealed.size() - sent, MSG_NOSIGNAL);
      if (count > 0) {
        sent += static_cast<std::size_t>(count);
        continue;
      }
      if (errno == EINTR || (errno == EAGAIN && waitFor(POLLOUT))) continue;
      if (problem_.empty()) problem_ = std::system_category().message(errno);
      return false;
    }
    sealed.clear();
    return true;
  }

  bool receive() {
    while (true) {
      const ssize_t count = recv(socket_.get(), received_.data(), received_.size(), 0);
      if (count > 0) {
        channel_.feed({received_.data(), static_cast<std::size_t>(count)});
        return true;
      }
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) {
        if (waitFor(POLLIN)) continue;
        return false;
      }
      problem_ = count == 0 ? "it has closed the connection" : std::system_category().message(errno);
      return false;
    }
  }

  Socket socket_;
  TlsChannel channel_;
  std::unique_ptr<FrameReader> frames_ = std::make_unique<FrameReader>(kLongestGreeting);
  const Patience patience_;
  std::string problem_;
  std::array<std::uint8_t, 16384> received_;
};

CK_RV returnValue(Farewell reason) {
  return reason == Farewell::NotAllowed || reason == Farewell::NoPartition ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_ERROR;
}

}  // namespace

base::Result<Dialled, DialError> dial(const Endpoint& server, SSL_CTX& context, const Destination& destination,
                                      const std::string& application, const Patience& patience) {
  const auto failure = [&](CK_RV rv, const std::string& why) {
    return base::Failure{DialError{rv, "server " + server.text() + ": " + why}};
  };
  auto socket = connectTo(server, patience);
  if (!socket) return failure(CKR_DEVICE_ERROR, socket.error());
  Dialling dialling(std::move(*socket), TlsChannel::client(context, server.host, alpnOf(destination)), patience);
  if (!dialling.shakeHands()) return failure(CKR_DEVICE_ERROR, dialling.problem());
  dialling.say({kProtocolVersion, destination.serial, application});
  const auto frame = dialling.hear();
  if (!frame) return failure(CKR_DEVICE_ERROR, dialling.problem());
  if (frame->header.opcode == static_cast<std::uint16_t>(Control::Goodbye)) {
    const auto goodbye = readGoodbye(frame->payload);
    return failure(goodbye ? returnValue(goodbye->reason) : CKR_DEVICE_ERROR,
                   goodbye ? "it refuses: " + goodbye->text : "it does not speak this protocol");
  }
  if (frame->header.opcode != static_cast<std::uint16_t>(Control::Greeting))
    return failure(CKR_DEVICE_ERROR, "it does not speak this protocol");
  auto greeting = readGreeting(frame->payload);
  if (!greeting) return failure(CKR_DEVICE_ERROR, "its greeting is malformed");
  if (greeting->version != kProtocolVersion) {
    return failure(CKR_DEVICE_ERROR, "it speaks version " + std::to_string(greeting->version) +
                                         " of the protocol, not " + std::to_string(kProtocolVersion));
  }
  return dialling.done(std::move(*greeting));
}

}  // namespace p11ha::transport
