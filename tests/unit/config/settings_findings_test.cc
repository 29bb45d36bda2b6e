// Files that are not as they should be.
#include "tests/unit/config/nasty.h"
#include "tests/unit/config/settings_text.h"

namespace p11ha::config {
namespace {

using namespace std::chrono_literals;
using test::complaints;
using test::group;
using test::Lines;
using test::linesOf;
using test::readText;
using test::section;

TEST(SettingsFindings, ABadValueIsReplacedByItsDefault) {
  const Settings settings = readText(
      section("HAConfiguration", "reconnAtt = many;\nAutoReconnectInterval = 0;\nhaLogStatus = on;\nHAOnly = ;\n") +
      section("p11ha", "CloningPolicy = everyone;\nModule00Path = /m.so;\nModule00Slot = first;\n"));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{"E f:2: reconnAtt: expected a whole number from -1 to 2147483647, found \"many\"; the default -1 is used",
             ("E f:3: AutoReconnectInterval: expected a whole number of seconds from 1 to 1200, found \"0\"; the "
              "default 60 is used"),
             "E f:4: haLogStatus: expected enabled or disabled, found \"on\"; the default enabled is used",
             "E f:5: HAOnly: expected 0 or 1, found nothing; the default 1 is used",
             "E f:8: CloningPolicy: expected domain, user or none, found \"everyone\"; the default domain is used",
             ("E f:10: Module00Slot: expected a slot id, decimal or hexadecimal with 0x, found \"first\"; it is "
              "ignored")}));
  EXPECT_TRUE(settings.hasErrors());
  EXPECT_EQ(settings.ha.reconnectAttempts, -1);
  EXPECT_EQ(settings.ha.autoReconnectInterval, 60s);
  EXPECT_EQ(settings.ha.logStatus, LogStatus::Enabled);
  EXPECT_EQ(settings.tuning.cloningPolicy, CloningPolicy::Domain);
  ASSERT_EQ(settings.tuning.modules.size(), 1U);
  EXPECT_EQ(settings.tuning.modules[0].slot, std::nullopt);
}

TEST(SettingsFindings, UnknownKeysInSectionsOfOursAreWarnings) {
  EXPECT_EQ(
      complaints(section("VirtualToken", "VirtualTokenLabel = x;\nVirtualTokenXXSN = 1;\n") +
                 section("HAConfiguration", "HAOnl = 1;\n") + section("p11ha", "logLen = 5;\n") +
                 section("HASynchronize", "HAOnly = 1;\nnoGroup = 1;\nreconnAtt = 120;\n") +
                 section("HARecovery", "noGroup = 1;\n")),
      (Lines{"W f:2: VirtualTokenLabel: expected a key of section VirtualToken",
             "W f:3: VirtualTokenXXSN: expected a key of section VirtualToken",
             "W f:6: HAOnl: expected a key of section HAConfiguration",
             "W f:9: logLen: expected a key of section p11ha; it belongs in section HAConfiguration",
             "W f:12: HAOnly: expected the label of a group, found \"HAOnly\"; it belongs in section HAConfiguration",
             "W f:13: noGroup: expected the label of a group, found \"noGroup\"",
             ("W f:14: reconnAtt: expected the label of a group, found \"reconnAtt\"; it belongs in section "
              "HAConfiguration"),
             "W f:17: noGroup: expected the label of a group, found \"noGroup\""}));
  EXPECT_EQ(complaints(section("HAConfiguration", "xStandbyMembers = 1;\n")),
            Lines{"W f:2: xStandbyMembers: expected the label of a group, found \"x\""});
}

TEST(SettingsFindings, SectionsOfOthersAreNotLookedAt) {
  EXPECT_EQ(
      complaints(section("Chrystoki2", "LibUNIX64 = /usr/lib/libCryptoki2_64.so;\n") +
                 section("Luna", "DefaultTimeOut=500000;\nPEDTimeout1=x;\nfoo\n") +
                 section("CardReader", "RemoteCommand = 1;\n") + section("Misc", "ToolsDir = /x;\nHAOnly = 7;\n") +
                 section("LunaSA Client", "Whatever = 1;\nServerHtl00 = ;\n")),
      Lines{});
}

TEST(SettingsFindings, TheFirstOfRepeatedKeysIsUsed) {
  const Settings settings = readText(section("HAConfiguration",
                                             "HAOnly = 0;\nhaonly = 1;\nAutoReconnectInterval = 5;\n"
                                             "AutoReconnectedInterval = 6;\n") +
                                     section("VirtualToken", group("0", "g", "1", "2") + "VirtualToken00SN = 3;\n"));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{"W f:3: haonly: expected once in section HAConfiguration; the one in line 2 is used",
             "W f:5: AutoReconnectedInterval: expected once in section HAConfiguration; the one in line 4 is used",
             "W f:11: VirtualToken00SN: expected once in section VirtualToken; the one in line 9 is used"}));
  EXPECT_FALSE(settings.ha.haOnly);
  EXPECT_EQ(settings.ha.autoReconnectInterval, 5s);
  EXPECT_EQ(settings.groups.at(0).serial, "1");
}

TEST(SettingsFindings, NestedGroupsAreReadAsFarAsTheyGo) {
  const Settings settings = readText("HAConfiguration = {\nHAOnly = 0;\nVirtualToken = {\n" +
                                     group("00", "g", "1", "a") + "}\nreconnAtt = 5;\n}\n");
  EXPECT_EQ(linesOf(settings),
            (Lines{"W f:3: expected \"}\" of section \"HAConfiguration\" before section "
                   "\"VirtualToken\" begins; it is taken to end here",
                   "W f:8: expected \"Section = {\" before it", "W f:9: expected no \"}\" outside of a section"}));
  EXPECT_EQ(settings.groups.size(), 1U);
  EXPECT_FALSE(settings.ha.haOnly);
}

TEST(SettingsFindings, ServersAreChecked) {
  const Settings settings =
      readText(section("LunaSA Client",
                       "ServerName00 = a;\nServerPort00 = x;\nServerPort01 = 1;\nServerName02 = A;\n"
                       "ServerName03 = a;\nServerPort03 = 1793;\n"
                       "ServerCAFile = /ca;\nClientCertFile = /cert;\nClientPrivKeyFile = /key;\n"));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{"E f:3: ServerPort00: expected a whole number from 1 to 65535, found \"x\"; the default 1792 is used",
             "W f:4: ServerPort01: expected a ServerName of the same number",
             "W f:5: ServerName02: expected each server once, found \"A\" in line 2 already; this one is ignored"}));
  ASSERT_EQ(settings.client.servers.size(), 2U);
  EXPECT_EQ(settings.client.servers[0].port, 1792);
  EXPECT_EQ(settings.client.servers[1].port, 1793);
}

TEST(SettingsFindings, ConnectionsToServersNeedTheirFiles) {
  const Settings settings =
      readText(section("LunaSA Client", "ServerName02 = a;\nServerCAFile = /ca;\nClientCertFile = ;\n"));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{
          "E f:2: ServerName02: expected a ClientPrivKeyFile for connections to servers; remote members are left out",
          "E f:4: ClientCertFile: expected a ClientCertFile for connections to servers; remote members are left out"}));
  EXPECT_TRUE(settings.client.servers.empty());
}

TEST(SettingsFindings, ModulesAreChecked) {
  const Settings settings =
      readText(section("p11ha",
                       "Module00Slot = 1;\nModule01Path = ;\nModule02Path = /a.so;\nModule02Serial = s;\n"
                       "Module03Path = /b.so;\nModule03Serial = s;\nModule04Path = /c.so;\nModule04Serial = " +
                           std::string(17, 'x') + ";\n"));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{"E f:2: Module00Slot: expected a ModulePath of the same number; the module is left out",
             "E f:3: Module01Path: expected a ModulePath of the same number; the module is left out",
             "E f:7: Module03Serial: expected a serial number of its own, found \"s\" in line 5 already; the module "
             "is left out",
             "E f:9: Module04Serial: expected a text of at most 16 bytes, found \"xxxxxxxxxxxxxxxxx\"; it is "
             "ignored"}));
  ASSERT_EQ(settings.tuning.modules.size(), 2U);
  EXPECT_EQ(settings.tuning.modules[0].number, 2U);
  EXPECT_EQ(settings.tuning.modules[1].serial, "");
}

TEST(SettingsFindings, TextWithNulBytesIsRefused) {
  EXPECT_EQ(complaints(std::string("HAConfiguration = {\nhaLogPath = /a\0b;\n}\n", 40)),
            (Lines{"E f:2: expected text (ASCII or UTF-8), found a NUL byte; what cannot be read for it is ignored",
                   "E f:2: haLogPath: expected a text, found \"/a\\x00b\"; it is ignored"}));
  EXPECT_EQ(complaints(std::string("Misc = {\nToolsDir = /a\0b;\n}\n", 28)),
            (Lines{"E f:2: expected text (ASCII or UTF-8), found a NUL byte; what cannot be read for it is ignored"}));
}

TEST(SettingsFindings, NastyFilesAreRead) {
  for (const auto& file : test::nastyFiles()) {
    for (const char* name : {"VirtualToken", "HAConfiguration", "HASynchronize", "p11ha", "LunaSA Client"}) {
      const Settings settings = readText(std::string(name) + " = {\n" + file);
      for (const auto& each : settings.diagnostics) {
        for (const char c : each.format()) ASSERT_TRUE(c >= 0x20 && c < 0x7f);
      }
    }
  }
}

TEST(SettingsFindings, ManyFindingsAreBounded) {
  std::string lines;
  for (int i = 0; i < 100000; ++i) lines += "Unknown" + std::to_string(i) + " = 1;\n";
  const Settings settings = readText(section("p11ha", lines));
  ASSERT_EQ(settings.diagnostics.size(), Diagnostics::kMost + 1);
  EXPECT_EQ(settings.diagnostics.back().text, "99900 more findings are not shown");
}

}  // namespace
}  // namespace p11ha::config
