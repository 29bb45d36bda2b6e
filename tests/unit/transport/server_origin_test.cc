#include "transport/server/origin.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace p11ha::transport {
namespace {

std::string originOfText(int family, const char* text) {
  sockaddr_storage address{};
  address.ss_family = static_cast<sa_family_t>(family);
  void* const host = family == AF_INET ? static_cast<void*>(&reinterpret_cast<sockaddr_in*>(&address)->sin_addr)
                                       : &reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr;
  EXPECT_EQ(inet_pton(family, text, host), 1);
  return originOf(reinterpret_cast<const sockaddr*>(&address));
}

TEST(ServerOrigin, AnIpv4AddressIsOneHoweverItIsWritten) {
  EXPECT_EQ(originOfText(AF_INET, "192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(originOfText(AF_INET6, "::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_NE(originOfText(AF_INET, "192.0.2.7"), originOfText(AF_INET, "192.0.2.8"));
}

TEST(ServerOrigin, AllAddressesOfAnIpv6NetworkAreOne) {
  EXPECT_EQ(originOfText(AF_INET6, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(originOfText(AF_INET6, "2001:db8:1:2::1"), "2001:db8:1:2::/64");
  EXPECT_NE(originOfText(AF_INET6, "2001:db8:1:3::1"), "2001:db8:1:2::/64");
}

TEST(ServerOrigin, WhatIsNoHostHasNone) {
  sockaddr local{};
  local.sa_family = AF_UNIX;
  EXPECT_EQ(originOf(&local), "");
}

}  // namespace
}  // namespace p11ha::transport
