#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "transport/server/message.h"

namespace p11ha::transport {
namespace {

class ServerMessage : public testing::Test {
 protected:
  void SetUp() override {
    auto made = makeMessageSockets();
    ASSERT_TRUE(made);
    here = std::move(made->first);
    there = std::move(made->second);
  }
  /// What comes of it on the other side.
  template <class T>
  T across(MessageKind kind, const T& value) {
    EXPECT_TRUE(sendMessage(here.get(), kind, value));
    EXPECT_EQ(receiveMessage(there.get(), message, false), Received::Message);
    EXPECT_EQ(message.kind, kind);
    return message.as<T>();
  }

  base::Descriptor here;
  base::Descriptor there;
  Message message;
};

TEST_F(ServerMessage, ASetupArrivesWhole) {
  WorkerSetup setup;
  setup.instance[3] = 7;
  setup.module = 1;
  setup.modules = {{"/a.so", ""}, {"/b.so", "configdir='x'"}};
  setup.partitions.push_back({"1001", "one", 1, Authentication::Ped, {'1', '2', '3', '4'}});
  setup.clients.push_back({"alice", "", false, {"1001", "two"}});
  setup.clients.push_back({"", "ff", true, {}});
  setup.limits.call = std::chrono::milliseconds(17);
  setup.limits.frame.payload = 99999;
  setup.logLevel = LogLevel::Debug;
  const WorkerSetup got = across(MessageKind::Setup, setup);
  EXPECT_EQ(got.instance, setup.instance);
  EXPECT_FALSE(got.survey);
  EXPECT_EQ(got.module, 1U);
  EXPECT_EQ(got.modules, setup.modules);
  ASSERT_EQ(got.partitions.size(), 1U);
  EXPECT_EQ(got.partitions[0].pedPin, setup.partitions[0].pedPin);
  EXPECT_EQ(got.partitions[0].authentication, Authentication::Ped);
  ASSERT_EQ(got.clients.size(), 2U);
  EXPECT_EQ(got.clients[0].partitions, setup.clients[0].partitions);
  EXPECT_TRUE(got.clients[1].all);
  EXPECT_EQ(got.limits.call, setup.limits.call);
  EXPECT_EQ(got.limits.frame.payload, 99999U);
  EXPECT_EQ(got.logLevel, LogLevel::Debug);
}

TEST_F(ServerMessage, StandingsArriveWhole) {
  StandingsUpdate update;
  update.sequence = 5;
  update.standings["1001"].deactivations = 3;
  update.standings["1002"].revokedFrom = {"alice", "bob"};
  const StandingsUpdate got = across(MessageKind::Update, update);
  EXPECT_EQ(got.sequence, 5U);
  EXPECT_EQ(got.standings.at("1001").deactivations, 3U);
  EXPECT_FALSE(got.standings.at("1001").deactivated);
  EXPECT_EQ(got.standings.at("1002").revokedFrom, update.standings["1002"].revokedFrom);
}

TEST_F(ServerMessage, WhatIsSmallArrives) {
  HandedConnection handed{9, {{1, 2}, "1001"}, "127.0.0.1:5", base::now()};
  const auto connection = across(MessageKind::Connection, handed);
  EXPECT_EQ(connection.id, 9U);
  EXPECT_EQ(connection.destination.application, handed.destination.application);
  EXPECT_EQ(connection.destination.serial, "1001");
  EXPECT_EQ(connection.address, "127.0.0.1:5");
  EXPECT_EQ(connection.until, handed.until);
  const auto ready = across(MessageKind::Ready, ConnectionReady{4, {"alice", "ff"}, "app", "1001"});
  EXPECT_EQ(ready.client, (ClientIdentity{"alice", "ff"}));
  EXPECT_EQ(ready.application, "app");
  EXPECT_EQ(ready.serial, "1001");
  const auto survey = across(MessageKind::Surveyed, SurveyResult{"", {{"1001", "one"}}});
  ASSERT_EQ(survey.tokens.size(), 1U);
  EXPECT_EQ(survey.tokens[0].label, "one");
  EXPECT_EQ(across(MessageKind::Counts, WorkerCounts{1, 2, 3}).calls, 3U);
  EXPECT_EQ(across(MessageKind::Closed, std::uint64_t{77}), 77U);
}

TEST_F(ServerMessage, DescriptorsComeAlongAndAreClosedOnExec) {
  const base::Descriptor file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(sendMessage(here.get(), MessageKind::Closed, std::uint64_t{1}, {file.get(), file.get()}));
  ASSERT_EQ(receiveMessage(there.get(), message, false), Received::Message);
  ASSERT_EQ(message.descriptors.size(), 2U);
  for (const base::Descriptor& each : message.descriptors) EXPECT_NE(fcntl(each.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(ServerMessage, TellsNothingFromTheEnd) {
  EXPECT_EQ(receiveMessage(there.get(), message, false), Received::Nothing);
  here.reset();
  EXPECT_EQ(receiveMessage(there.get(), message, false), Received::Ended);
  EXPECT_FALSE(sendMessage(there.get(), MessageKind::Closed, std::uint64_t{1}));
}

TEST_F(ServerMessage, DoesNotWaitForWhoDoesNotRead) {
  int sent = 0;
  while (sent < 1000000 && sendMessage(here.get(), MessageKind::Closed, std::uint64_t{1})) ++sent;
  EXPECT_LT(sent, 1000000);
}

}  // namespace
}  // namespace p11ha::transport
