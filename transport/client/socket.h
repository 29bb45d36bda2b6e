// A client's socket: connected in time, closed on exec, and closed in a forked child.
#pragma once

#include <string>

#include "base/result.h"
#include "transport/client/patience.h"

namespace p11ha::transport {

/// Owned by one connection. A child of fork has its copy closed before fork() returns there, without a word to the
/// peer: the connection is the parent's.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor);
  ~Socket() { reset(); }
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;

  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }
  void reset();

 private:
  int descriptor_ = -1;
};

/// Where a server is, and how its connections are kept.
struct Endpoint {
  std::string host;  // a name or an address
  std::uint16_t port = 0;
  bool keepAlive = true;

  std::string text() const { return host + ":" + std::to_string(port); }
};

/// Resolves the name and connects, to each of its addresses in turn. The error says what went wrong, ready to be shown
/// after the server's name. Any thread. The socket does not wait when it is read from.
base::Result<Socket, std::string> connectTo(const Endpoint& endpoint, const Patience& patience);

}  // namespace p11ha::transport
