// A listening socket that does not lose its head when descriptors run out.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/descriptor.h"

namespace p11ha::transport {

/// One thread. Without descriptors to be had, accept() rests for a while instead of being asked again at once.
class Listener {
 public:
  /// TCP; the error is ready to be shown.
  std::optional<std::string> listenTcp(const std::string& address, std::uint16_t port);
  /// A local socket that only its owner may use. A socket that nobody listens at any more is replaced.
  std::optional<std::string> listenLocal(const std::string& path);

  int descriptor() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }
  std::uint16_t port() const { return port_; }
  void close() { socket_.reset(); }

  /// Who has connected.
  struct Peer {
    std::string name;    // for log lines: host and port, or "local"
    std::string origin;  // of originOf()
  };
  enum class Accepted : std::uint8_t { Connection, Nothing, Exhausted };
  Accepted accept(base::Descriptor& connection, Peer& peer);

  /// Exhausted: when to listen again.
  bool resting() const { return resting_; }
  base::Monotonic restUntil() const { return restUntil_; }
  void wake() { resting_ = false; }

 private:
  base::Descriptor socket_;
  std::uint16_t port_ = 0;
  bool resting_ = false;
  base::Monotonic restUntil_;
};

}  // namespace p11ha::transport
