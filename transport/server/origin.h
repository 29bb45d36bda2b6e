// Where a connection comes from, as far as it says who shares it.
#pragma once

#include <sys/socket.h>

#include <string>

namespace p11ha::transport {

/// What connections of one host have in common: its IPv4 address, however that is written, or the /64 of its IPv6
/// address, all of which a single host may use. Empty for what is neither. Pure; any thread.
std::string originOf(const sockaddr* address);

}  // namespace p11ha::transport
