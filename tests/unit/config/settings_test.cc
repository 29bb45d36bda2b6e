#include "config/settings.h"

#include "tests/unit/config/nasty.h"
#include "tests/unit/config/settings_text.h"

namespace p11ha::config {
namespace {

using namespace std::chrono_literals;
using test::group;
using test::Lines;
using test::linesOf;
using test::readText;
using test::section;

TEST(Settings, AnEmptyFileAsksForTheDefaults) {
  for (const char* text : {"", "\n", "[Misc]\r\nToolsDir=x\r\n", "Misc = {\n}\n"}) {
    const Settings settings = readText(text);
    EXPECT_TRUE(settings.diagnostics.empty());
    EXPECT_FALSE(settings.hasErrors());
    EXPECT_TRUE(settings.groups.empty());
    EXPECT_EQ(settings.ha.activeRecovery, RecoveryMode::ActiveEnhanced);
    EXPECT_TRUE(settings.ha.haOnly);
    EXPECT_EQ(settings.ha.reconnectAttempts, -1);
    EXPECT_EQ(settings.ha.autoReconnectInterval, 60s);
    EXPECT_TRUE(settings.ha.failoverOnDeactivation);
    EXPECT_EQ(settings.ha.logLength, 262144U);
    EXPECT_EQ(settings.ha.logPath, "");
    EXPECT_EQ(settings.ha.logStatus, LogStatus::Enabled);
    EXPECT_TRUE(settings.client.servers.empty());
    EXPECT_EQ(settings.client.receiveTimeout, 20000ms);
    EXPECT_TRUE(settings.client.tcpKeepAlive);
    EXPECT_TRUE(settings.tuning.modules.empty());
    EXPECT_EQ(settings.tuning.heartbeatInterval, 500ms);
    EXPECT_EQ(settings.tuning.heartbeatMisses, 4U);
    EXPECT_EQ(settings.tuning.callDeadline, 20000ms);
    EXPECT_EQ(settings.tuning.keyGenCallDeadline, 2700000ms);
    EXPECT_EQ(settings.tuning.finalizeWait, 2000ms);
    EXPECT_EQ(settings.tuning.connectTimeout, 5000ms);
    EXPECT_EQ(settings.tuning.recoverWait, 0ms);
    EXPECT_EQ(settings.tuning.multipartJournal, 1048576U);
    EXPECT_EQ(settings.tuning.cloningPolicy, CloningPolicy::Domain);
    EXPECT_EQ(settings.tuning.unreplicatedKeys, UnreplicatedKeys::Allow);
  }
}

void expectReference(const Settings& settings) {
  EXPECT_EQ(linesOf(settings), Lines{});
  ASSERT_EQ(settings.groups.size(), 1U);
  const Group& only = settings.groups[0];
  EXPECT_EQ(only.number, 0U);
  EXPECT_EQ(only.label, "haGroup1");
  EXPECT_EQ(only.serial, "11234840370164");
  EXPECT_EQ(only.members, (Lines{"1234840370164", "1234924189183"}));
  EXPECT_TRUE(only.standby.empty());
  EXPECT_TRUE(only.synchronize);
  EXPECT_EQ(only.recoveryCounter, 1U);
  EXPECT_EQ(settings.ha.activeRecovery, RecoveryMode::ActiveEnhanced);
  EXPECT_TRUE(settings.ha.haOnly);
  EXPECT_EQ(settings.ha.logPath, "/tmp/halog");
  EXPECT_EQ(settings.ha.logStatus, LogStatus::Enabled);
  EXPECT_EQ(settings.ha.logLength, 100000000U);
  EXPECT_TRUE(settings.ha.failoverOnDeactivation);
  EXPECT_EQ(settings.ha.reconnectAttempts, 120);
}

TEST(Settings, ReadsTheReferenceExample) {
  const Settings settings = readText(test::referenceConf());
  expectReference(settings);
  EXPECT_EQ(settings.groups.at(0).line, 2U);
}

TEST(Settings, ReadsTheReferenceExampleAsAnIni) {
  const Document conf = Document::parse(test::referenceConf());
  Document ini = Document::parse("", "crystoki.ini");
  for (const auto& name : conf.sections()) {
    for (const auto& entry : conf.entries(name)) ASSERT_TRUE(ini.set(name, entry.key, entry.value).ok());
  }
  EXPECT_NE(ini.text().find("[HAConfiguration]\r\nHAOnly=1\r\n"), std::string::npos);
  expectReference(read(ini));
}

TEST(Settings, ReadsEveryKey) {
  const Settings settings = readText(
      "VirtualToken = {\n" + group("07", "second", "1b", "b1,b2, b3") + group("003", "my HA", "'1a'", "a1") +
      "VirtualTokenActiveRecovery = ACTIVEBASIC;\n}\n" + section("HASynchronize", "second = 0;\nmy HA = 1;\n") +
      section("HARecovery", "SECOND = 12345678901;\n") +
      section(
          "haconfiguration",
          "HAONLY = 0;\nReconnAtt = 0;\nAutoReconnectedInterval = 1200;\nfailover_on_deactivation=0;\nlogLen=500000;\n"
          "haLogPath = \"C:\\Program Files\\halog\";\nhaLogStatus = Disabled;\nsecondStandbyMembers = b3, b2;\n"
          "my HAStandbyMembers = ;\n") +
      section("LunaSAClient",
              "ServerName10 = ten;\nServerName02 = 10.0.0.2;\nServerPort02 = 1793;\nServerHtl02 = ;\nServerName03 = ;\n"
              "ServerPort03 = 1792;\nServerCAFile = /ca;\nClientCertFile=/cert;\nClientPrivKeyFile = '/key';\n"
              "ReceiveTimeout = 1000;\nTCPKeepAlive = 0;\nNetClient = 1;\nSSLConfigFile = /x;\n") +
      section(
          "p11ha",
          "Module01Path = /soft.so;\nModule01Reserved = \"configdir='sql:/tmp/db' certPrefix='' flags=\";\n"
          "Module01Slot = 0x2a;\nModule01Serial = nss-one;\nModule00Path=/hsm.so;\nmodule02path = /hsm.so;\n"
          "Module02Slot = 18446744073709551615;\nHeartbeatInterval = 10;\nHeartbeatMisses = 2;\nCallDeadline = 30000;\n"
          "KeyGenCallDeadline = 60000;\nFinalizeWait = 0;\nConnectTimeout = 100;\nRecoverWait = 5000;\n"
          "MultipartJournal = 0;\nCloningPolicy = User;\nUnreplicatedKeys = deny;\n"));
  EXPECT_EQ(linesOf(settings), Lines{});

  ASSERT_EQ(settings.groups.size(), 2U);
  EXPECT_EQ(settings.groups[0].number, 3U);
  EXPECT_EQ(settings.groups[0].label, "my HA");
  EXPECT_EQ(settings.groups[0].serial, "1a");
  EXPECT_EQ(settings.groups[0].members, Lines{"a1"});
  EXPECT_EQ(settings.groups[0].standby, Lines{});
  EXPECT_TRUE(settings.groups[0].synchronize);
  EXPECT_EQ(settings.groups[0].recoveryCounter, 0U);
  EXPECT_EQ(settings.groups[1].number, 7U);
  EXPECT_EQ(settings.groups[1].members, (Lines{"b1", "b2", "b3"}));
  EXPECT_EQ(settings.groups[1].standby, (Lines{"b3", "b2"}));
  EXPECT_FALSE(settings.groups[1].synchronize);
  EXPECT_EQ(settings.groups[1].recoveryCounter, 12345678901U);

  EXPECT_EQ(settings.ha.activeRecovery, RecoveryMode::ActiveBasic);
  EXPECT_FALSE(settings.ha.haOnly);
  EXPECT_EQ(settings.ha.reconnectAttempts, 0);
  EXPECT_EQ(settings.ha.autoReconnectInterval, 1200s);
  EXPECT_FALSE(settings.ha.failoverOnDeactivation);
  EXPECT_EQ(settings.ha.logLength, 500000U);
  EXPECT_EQ(settings.ha.logPath, "C:\\Program Files\\halog");
  EXPECT_EQ(settings.ha.logStatus, LogStatus::Disabled);

  ASSERT_EQ(settings.client.servers.size(), 2U);
  EXPECT_EQ(settings.client.servers[0].number, 2U);
  EXPECT_EQ(settings.client.servers[0].name, "10.0.0.2");
  EXPECT_EQ(settings.client.servers[0].port, 1793);
  EXPECT_EQ(settings.client.servers[1].name, "ten");
  EXPECT_EQ(settings.client.servers[1].port, 1792);
  EXPECT_EQ(settings.client.caFile, "/ca");
  EXPECT_EQ(settings.client.certificateFile, "/cert");
  EXPECT_EQ(settings.client.privateKeyFile, "/key");
  EXPECT_EQ(settings.client.receiveTimeout, 1000ms);
  EXPECT_FALSE(settings.client.tcpKeepAlive);

  ASSERT_EQ(settings.tuning.modules.size(), 3U);
  EXPECT_EQ(settings.tuning.modules[0].path, "/hsm.so");
  EXPECT_EQ(settings.tuning.modules[0].reserved, "");
  EXPECT_EQ(settings.tuning.modules[0].slot, std::nullopt);
  EXPECT_EQ(settings.tuning.modules[1].number, 1U);
  EXPECT_EQ(settings.tuning.modules[1].path, "/soft.so");
  EXPECT_EQ(settings.tuning.modules[1].reserved, "configdir='sql:/tmp/db' certPrefix='' flags=");
  EXPECT_EQ(settings.tuning.modules[1].slot, 42U);
  EXPECT_EQ(settings.tuning.modules[1].serial, "nss-one");
  EXPECT_EQ(settings.tuning.modules[2].slot, ~std::uint64_t{0});
  EXPECT_EQ(settings.tuning.heartbeatInterval, 10ms);
  EXPECT_EQ(settings.tuning.heartbeatMisses, 2U);
  EXPECT_EQ(settings.tuning.callDeadline, 30000ms);
  EXPECT_EQ(settings.tuning.keyGenCallDeadline, 60000ms);
  EXPECT_EQ(settings.tuning.finalizeWait, 0ms);
  EXPECT_EQ(settings.tuning.connectTimeout, 100ms);
  EXPECT_EQ(settings.tuning.recoverWait, 5000ms);
  EXPECT_EQ(settings.tuning.multipartJournal, 0U);
  EXPECT_EQ(settings.tuning.cloningPolicy, CloningPolicy::User);
  EXPECT_EQ(settings.tuning.unreplicatedKeys, UnreplicatedKeys::Deny);
}

}  // namespace
}  // namespace p11ha::config
