#include "compose/pending.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace p11ha::compose {
namespace {

using config::Settings;
using testing::ElementsAre;
using testing::IsEmpty;

Settings some() {
  Settings settings;
  settings.groups.resize(2);
  settings.groups[0].label = "one";
  settings.groups[0].serial = "1000";
  settings.groups[1].label = "two";
  settings.groups[1].serial = "2000";
  settings.tuning.modules.push_back({0, "a.so", {}, std::nullopt, {}});
  settings.client.servers.push_back({3, "localhost", 1792});
  return settings;
}

TEST(PendingChanges, NothingThatCountsAtOnce) {
  const Settings running = some();
  EXPECT_THAT(pendingChanges(running, running), IsEmpty());
  Settings file = running;
  file.groups[0].members = {"1", "2"};
  file.groups[0].standby = {"2"};
  file.groups[0].recoveryCounter = 7;
  file.groups[0].synchronize = false;
  file.ha.reconnectAttempts = 3;
  file.ha.logPath = "/tmp";
  file.tuning.recoverWait = std::chrono::milliseconds(100);
  EXPECT_THAT(pendingChanges(running, file), IsEmpty());
}

TEST(PendingChanges, Groups) {
  const Settings running = some();
  Settings file = running;
  file.groups.push_back(file.groups[0]);
  file.groups[0].label = "another";
  file.groups[1].serial = "2001";
  file.groups[2].label = "three";
  file.groups[2].serial = "3000";
  EXPECT_THAT(pendingChanges(running, file),
              ElementsAre("the label of group 1000", "the serial number of group 2000", "group 3000"));
}

TEST(PendingChanges, ModulesAndServers) {
  const Settings running = some();
  Settings file = running;
  file.tuning.modules[0].reserved = "x";
  file.tuning.modules.push_back({11, "b.so", {}, std::nullopt, {}});
  file.client.servers[0].port = 1793;
  file.client.servers.push_back({4, "localhost", 1794});
  EXPECT_THAT(pendingChanges(running, file), ElementsAre("Module00", "Module11", "ServerName03", "ServerName04"));
  file.tuning.modules.clear();
  file.client.servers.clear();
  EXPECT_THAT(pendingChanges(running, file), ElementsAre("Module00", "ServerName03")) << "taken away";
}

TEST(PendingChanges, WhatConnectionsAreMadeWith) {
  Settings running = some();
  Settings file = running;
  file.ha.haOnly = false;
  file.tuning.statusPath = "/tmp";
  file.tuning.heartbeatMisses = 9;
  file.tuning.callDeadline = std::chrono::milliseconds(1);
  file.client.caFile = "other.pem";
  EXPECT_THAT(pendingChanges(running, file),
              ElementsAre("HAOnly", "StatusPath", "ServerCAFile", "HeartbeatMisses", "CallDeadline of remote members"));
  running.client.servers.clear();
  file.client.servers.clear();
  EXPECT_THAT(pendingChanges(running, file), ElementsAre("HAOnly", "StatusPath")) << "without any, these are nobody's";
}

}  // namespace
}  // namespace p11ha::compose
