#include "transport/server/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "transport/server/origin.h"

namespace p11ha::transport {
namespace {

constexpr int kBacklog = 1024;
constexpr std::chrono::milliseconds kRest{50};

std::string systemError() { return std::generic_category().message(errno); }

std::string nameOf(const sockaddr* address, socklen_t size) {
  char host[NI_MAXHOST];
  char service[NI_MAXSERV];
  if (getnameinfo(address, size, host, sizeof host, service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "local";
  const bool colons = std::strchr(host, ':') != nullptr;
  return (colons ? "[" + std::string(host) + "]" : std::string(host)) + ":" + service;
}

}  // namespace

std::optional<std::string> Listener::listenTcp(const std::string& address, std::uint16_t port) {
  const std::string where = address + ":" + std::to_string(port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found); error != 0)
    return "cannot listen at " + where + ": " + gai_strerror(error);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  base::Descriptor fresh(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!fresh || setsockopt(fresh.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fresh.get(), found->ai_addr, found->ai_addrlen) != 0 || listen(fresh.get(), kBacklog) != 0)
    return "cannot listen at " + where + ": " + systemError();
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  getsockname(fresh.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                            : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  socket_ = std::move(fresh);
  return std::nullopt;
}

std::optional<std::string> Listener::listenLocal(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return path + ": too long for a socket's name";
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  struct stat there {};
  if (lstat(path.c_str(), &there) == 0) {
    const base::Descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!S_ISSOCK(there.st_mode)) return path + ": is there already, and is no socket";
    if (connect(probe.get(), generic, sizeof address) == 0) return path + ": somebody listens there already";
    unlink(path.c_str());
  }
  base::Descriptor fresh(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = umask(0177);
  const bool bound = fresh && bind(fresh.get(), generic, sizeof address) == 0;
  umask(before);
  if (!bound || listen(fresh.get(), kBacklog) != 0) return path + ": " + systemError();
  socket_ = std::move(fresh);
  return std::nullopt;
}

Listener::Accepted Listener::accept(base::Descriptor& connection, Peer& peer) {
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  auto* const generic = reinterpret_cast<sockaddr*>(&from);
  connection = base::Descriptor(accept4(socket_.get(), generic, &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (connection) {
    peer = {nameOf(generic, size), originOf(generic)};
    return Accepted::Connection;
  }
  if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return Accepted::Nothing;
  resting_ = true;
  restUntil_ = std::chrono::steady_clock::now() + kRest;
  return Accepted::Exhausted;
}

}  // namespace p11ha::transport
