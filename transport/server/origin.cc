#include "transport/server/origin.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

namespace p11ha::transport {
namespace {

constexpr std::size_t kMappedPrefix = 12;  // of an IPv4 address in an IPv6 one
constexpr std::size_t kNetwork = 8;        // bytes that name the network of an IPv6 address

}  // namespace

std::string originOf(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
    return text;
  }
  if (address->sa_family != AF_INET6) return text;
  in6_addr host = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&host)) {
    inet_ntop(AF_INET, host.s6_addr + kMappedPrefix, text, sizeof text);
    return text;
  }
  std::memset(host.s6_addr + kNetwork, 0, sizeof host.s6_addr - kNetwork);
  inet_ntop(AF_INET6, &host, text, sizeof text);
  return text + std::string("/64");
}

}  // namespace p11ha::transport
