#include <gtest/gtest.h>

#include "transport/server/access.h"

namespace p11ha::transport {
namespace {

const ClientIdentity kAlice{"alice", std::string(64, 'a')};
const ClientIdentity kBob{"bob", std::string(64, 'b')};
const ClientIdentity kNameless{"", std::string(64, 'c')};
const Partition kOne{"1001", "one", 0, Authentication::Password, {}};
const Partition kTwo{"1002", "two", 0, Authentication::Ped, {}};

TEST(ServerAccess, ByNameOrByFingerprint) {
  const std::vector<AllowedClient> clients{{"alice", "", false, {"1001"}}, {"", kBob.fingerprint, false, {"two"}}};
  EXPECT_TRUE(mayUse(clients, kAlice, kOne));
  EXPECT_FALSE(mayUse(clients, kAlice, kTwo));
  EXPECT_TRUE(mayUse(clients, kBob, kTwo));
  EXPECT_FALSE(mayUse(clients, kBob, kOne));
}

TEST(ServerAccess, ACertificateWithoutANameIsNobody) {
  EXPECT_FALSE(mayUse({{"", "", true, {}}}, kNameless, kOne));
  EXPECT_TRUE(mayUse({{"", kNameless.fingerprint, true, {}}}, kNameless, kOne));
}

TEST(ServerAccess, WhatSeveralEntriesAllowAddsUp) {
  const std::vector<AllowedClient> clients{{"alice", "", false, {"one"}}, {"alice", "", false, {"two"}}};
  EXPECT_TRUE(mayUse(clients, kAlice, kOne));
  EXPECT_TRUE(mayUse(clients, kAlice, kTwo));
}

TEST(ServerAccess, RevokedGoesBeforeDeactivated) {
  Standing standing;
  EXPECT_EQ(standing.stateFor(kAlice), PartitionState::Active);
  standing.deactivated = true;
  EXPECT_EQ(standing.stateFor(kAlice), PartitionState::Deactivated);
  standing.revokedFrom.insert("alice");
  EXPECT_EQ(standing.stateFor(kAlice), PartitionState::Revoked);
  EXPECT_EQ(standing.stateFor(kBob), PartitionState::Deactivated);
  standing.revoked = true;
  EXPECT_EQ(standing.stateFor(kBob), PartitionState::Revoked);
}

TEST(ServerAccess, AClientIsToldOfWhatItMayUse) {
  Standings standings;
  standings["1002"].deactivated = true;
  const auto infos = partitionsFor(kAlice, {{"alice", "", true, {}}}, {kOne, kTwo}, standings);
  ASSERT_EQ(infos.size(), 2U);
  EXPECT_EQ(infos[0].state, PartitionState::Active);
  EXPECT_EQ(infos[1].serial, "1002");
  EXPECT_EQ(infos[1].label, "two");
  EXPECT_EQ(infos[1].state, PartitionState::Deactivated);
  EXPECT_EQ(infos[1].authentication, Authentication::Ped);
  EXPECT_TRUE(partitionsFor(kBob, {{"alice", "", true, {}}}, {kOne, kTwo}, standings).empty());
}

}  // namespace
}  // namespace p11ha::transport
