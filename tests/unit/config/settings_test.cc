#include "config/settings.h"

#include <gtest/gtest.h>

#include <set>

#include "config/schema.h"
#include "tests/unit/config/nasty.h"

namespace p11ha::config {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

Settings readText(const std::string& text) { return read(Document::parse(text, "f")); }

Lines linesOf(const Settings& settings) {
  Lines lines;
  for (const auto& each : settings.diagnostics) {
    lines.push_back((each.severity == Severity::Error ? "E " : "W ") + each.format());
  }
  return lines;
}

Lines complaints(const std::string& text) { return linesOf(readText(text)); }

std::string section(const std::string& name, const std::string& lines) { return name + " = {\n" + lines + "}\n"; }

std::string group(const std::string& nn, const std::string& label, const std::string& serial,
                  const std::string& members) {
  return "VirtualToken" + nn + "Label = " + label + ";\nVirtualToken" + nn + "SN = " + serial + ";\nVirtualToken" + nn +
         "Members = " + members + ";\n";
}

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

struct Range {
  const char* section;
  const char* key;
  const char* least;
  const char* most;
  const char* below;
  const char* above;
  const char* expected;
};

TEST(Settings, TakesTheEndsOfEveryRangeAndNothingBeyond) {
  constexpr const char* kDays = "a whole number of milliseconds from 1 to 86400000";
  constexpr const char* kDaysOrNone = "a whole number of milliseconds from 0 to 86400000";
  const Range ranges[] = {
      {"HAConfiguration", "HAOnly", "0", "1", "-1", "2", "0 or 1"},
      {"HAConfiguration", "reconnAtt", "-1", "2147483647", "-2", "2147483648", "a whole number from -1 to 2147483647"},
      {"HAConfiguration", "AutoReconnectInterval", "1", "1200", "0", "1201",
       "a whole number of seconds from 1 to 1200"},
      {"HAConfiguration", "AutoReconnectedInterval", "1", "1200", "0", "1201",
       "a whole number of seconds from 1 to 1200"},
      {"HAConfiguration", "failover_on_deactivation", "0", "1", "-1", "2", "0 or 1"},
      {"HAConfiguration", "logLen", "1", "1099511627776", "0", "1099511627777",
       "a whole number from 1 to 1099511627776"},
      {"HAConfiguration", "haLogStatus", "enabled", "disabled", "", "on", "enabled or disabled"},
      {"VirtualToken", "VirtualTokenActiveRecovery", "activeBasic", "activeEnhanced", "", "basic",
       "activeBasic or activeEnhanced"},
      {"HASynchronize", "anyLabel", "0", "1", "", "yes", "0 or 1"},
      {"HARecovery", "anyLabel", "0", "9223372036854775807", "-1", "9223372036854775808",
       "a whole number from 0 to 9223372036854775807"},
      {"LunaSA Client", "ServerPort00", "1", "65535", "0", "65536", "a whole number from 1 to 65535"},
      {"LunaSA Client", "ReceiveTimeout", "1", "86400000", "0", "86400001", kDays},
      {"LunaSA Client", "TCPKeepAlive", "0", "1", "-1", "2", "0 or 1"},
      {"p11ha", "Module00Slot", "0", "18446744073709551615", "-1", "18446744073709551616",
       "a slot id, decimal or hexadecimal with 0x"},
      {"p11ha", "Module00Slot", "0x0", "0XffffFFFFffffFFFF", "0x", "0x10000000000000000",
       "a slot id, decimal or hexadecimal with 0x"},
      {"p11ha", "Module00Serial", "", "1234567890123456", "12345678901234567", "12345678901234567",
       "a text of at most 16 bytes"},
      {"p11ha", "HeartbeatInterval", "1", "86400000", "0", "86400001", kDays},
      {"p11ha", "HeartbeatMisses", "1", "1000", "0", "1001", "a whole number from 1 to 1000"},
      {"p11ha", "CallDeadline", "1", "86400000", "0", "86400001", kDays},
      {"p11ha", "KeyGenCallDeadline", "1", "86400000", "0", "86400001", kDays},
      {"p11ha", "FinalizeWait", "0", "86400000", "-1", "86400001", kDaysOrNone},
      {"p11ha", "ConnectTimeout", "1", "86400000", "0", "86400001", kDays},
      {"p11ha", "RecoverWait", "0", "86400000", "-1", "86400001", kDaysOrNone},
      {"p11ha", "MultipartJournal", "0", "1073741824", "-1", "1073741825", "a whole number from 0 to 1073741824"},
      {"p11ha", "CloningPolicy", "domain", "none", "", "all", "domain, user or none"},
      {"p11ha", "UnreplicatedKeys", "allow", "deny", "", "maybe", "allow or deny"},
  };
  for (const Range& range : ranges) {
    EXPECT_EQ(objection(range.section, range.key, range.least), std::nullopt) << range.key;
    EXPECT_EQ(objection(range.section, range.key, range.most), std::nullopt) << range.key;
    for (const std::string bad : {range.below, range.above}) {
      const std::string found = bad.empty() ? "nothing" : "\"" + bad + "\"";
      EXPECT_EQ(objection(range.section, range.key, bad),
                "expected " + std::string(range.expected) + ", found " + found)
          << range.key;
    }
  }
}

TEST(Settings, EveryNumberRefusesWhatIsNotOne) {
  std::size_t numbers = 0;
  for (const KeyDescription& key : describeKeys()) {
    if (key.expected.find("whole number") == std::string::npos) continue;
    ++numbers;
    std::string name = key.name;
    if (const auto at = name.find("NN"); at != std::string::npos) name.replace(at, 2, "00");
    for (const char* bad : {"", "x", "1x", "1 s", "+1", "1.0", "0x10", "--1", "99999999999999999999", "1,2"}) {
      EXPECT_TRUE(objection(key.section, name, bad).has_value()) << key.name << " " << bad;
    }
  }
  EXPECT_EQ(numbers, 14U);
}

TEST(Settings, ABadValueIsReplacedByItsDefault) {
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

TEST(Settings, UnknownKeysInSectionsOfOursAreWarnings) {
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

TEST(Settings, SectionsOfOthersAreNotLookedAt) {
  EXPECT_EQ(
      complaints(section("Chrystoki2", "LibUNIX64 = /usr/lib/libCryptoki2_64.so;\n") +
                 section("Luna", "DefaultTimeOut=500000;\nPEDTimeout1=x;\nfoo\n") +
                 section("CardReader", "RemoteCommand = 1;\n") + section("Misc", "ToolsDir = /x;\nHAOnly = 7;\n") +
                 section("LunaSA Client", "Whatever = 1;\nServerHtl00 = ;\n")),
      Lines{});
}

TEST(Settings, TheFirstOfRepeatedKeysIsUsed) {
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

TEST(Settings, ReadsMemberListsAsPeopleWriteThem) {
  for (const char* list : {"a,b,c", "a, b, c", "a ,b ,c", " a,\tb,,c, ", "a b c", "'a,b,c'", ",a,b,c"}) {
    const Settings settings = readText(section("VirtualToken", group("00", "g", "1", list)));
    EXPECT_EQ(linesOf(settings), Lines{}) << list;
    ASSERT_EQ(settings.groups.size(), 1U) << list;
    EXPECT_EQ(settings.groups[0].members, (Lines{"a", "b", "c"})) << list;
  }
  EXPECT_EQ(readText(section("VirtualToken", group("00", "g", "007", "00000000deadbeef, 012"))).groups.at(0).members,
            (Lines{"00000000deadbeef", "012"}));
}

std::string serials(std::size_t n, const std::string& prefix = "m") {
  std::string list;
  for (std::size_t i = 0; i < n; ++i) list += (i == 0 ? "" : ",") + prefix + std::to_string(i);
  return list;
}

struct Faulty {
  std::string lines;      // of section VirtualToken, beside the sound group of each case
  std::string elsewhere;  // other sections
  Lines expected;
};

TEST(Settings, OneFaultyGroupIsLeftOutAndTheOthersWork) {
  const std::string long33(33, 'l');
  const Faulty cases[] = {
      {"VirtualToken05SN = 5;\nVirtualToken05Members = m;\n",
       "",
       {"E f:5: VirtualToken05Label: expected a label; the group is left out"}},
      {group("05", "", "5", "m"), "", {"E f:5: VirtualToken05Label: expected a label; the group is left out"}},
      {group("05", long33, "5", "m"),
       "",
       {"E f:5: VirtualToken05Label: expected a label of at most 32 printable bytes, found \"" + long33 +
        "\"; the group is left out"}},
      {group("05",
             "a\x01"
             "b",
             "5", "m"),
       "",
       {"E f:5: VirtualToken05Label: expected a label of at most 32 printable bytes, found \"a\\x01b\"; the group is "
        "left out"}},
      {"VirtualToken05Label = g;\nVirtualToken05Members = m;\n",
       "",
       {"E f:5: VirtualToken05SN: expected a serial number for group \"g\"; the group is left out"}},
      {group("05", "g", "", "m"),
       "",
       {"E f:6: VirtualToken05SN: expected a serial number for group \"g\"; the group is left out"}},
      {group("05", "g", "12345678901234567", "m"),
       "",
       {"E f:6: VirtualToken05SN: expected a serial number of at most 16 characters without blanks, found "
        "\"12345678901234567\"; the group is left out"}},
      {group("05", "g", "1 2", "m"),
       "",
       {"E f:6: VirtualToken05SN: expected a serial number of at most 16 characters without blanks, found \"1 2\"; the "
        "group is left out"}},
      {"VirtualToken05Label = g;\nVirtualToken05SN = 5;\n",
       "",
       {"E f:5: VirtualToken05Members: expected the serial number of at least one member; the group is left out"}},
      {group("05", "g", "5", ""),
       "",
       {"E f:7: VirtualToken05Members: expected the serial number of at least one member; the group is left out"}},
      {group("05", "g", "5", " , "),
       "",
       {"E f:7: VirtualToken05Members: expected the serial number of at least one member; the group is left out"}},
      {group("05", "g", "5", serials(33)),
       "",
       {"E f:7: VirtualToken05Members: expected at most 32 members, found 33; the group is left out"}},
      {group("05", "g", "5", "m, n, m"),
       "",
       {"E f:7: VirtualToken05Members: expected each member once, found \"m\" twice; the group is left out"}},
      {group("05", "sound", "5", "m"),
       "",
       {"E f:5: VirtualToken05Label: expected a label of its own, \"sound\" is that of group 01; the group is left "
        "out"}},
      {group("05", "g", "1", "m"),
       "",
       {"E f:6: VirtualToken05SN: expected a serial number of its own, \"1\" is that of group 01; the group is left "
        "out"}},
      {group("05", "g", "5", "m, s2"),
       "",
       {"E f:7: VirtualToken05Members: expected members of one group only, \"s2\" is in group 01; the group is left "
        "out"}},
      {group("05", "g", "5", "m,n"),
       "HAConfiguration = {\ngStandbyMembers = x;\n}\n",
       {"E f:10: gStandbyMembers: expected members of group \"g\", found \"x\"; the group is left out"}},
      {group("05", "g", "5", "m,n"),
       "HAConfiguration = {\ngStandbyMembers = n, m;\n}\n",
       {"E f:10: gStandbyMembers: expected at least one member of group \"g\" that is not standby; the group is left "
        "out"}},
  };
  for (const Faulty& each : cases) {
    const std::string text = section("VirtualToken", group("01", "sound", "1", "s1, s2") + each.lines) + each.elsewhere;
    const Settings settings = readText(text);
    EXPECT_EQ(linesOf(settings), each.expected) << text;
    ASSERT_EQ(settings.groups.size(), 1U) << text;
    EXPECT_EQ(settings.groups[0].label, "sound");
  }
}

TEST(Settings, AGroupThatIsLeftOutTakesNothingFromTheOthers) {
  const Settings settings = readText(section(
      "VirtualToken", group("00", "g", "1", "a,a") + group("01", "g", "1", "a,b") + group("02", "h", "2", "c")));
  ASSERT_EQ(settings.groups.size(), 2U);
  EXPECT_EQ(settings.groups[0].number, 1U);
  EXPECT_EQ(settings.groups[1].number, 2U);
}

TEST(Settings, TheLimitsThemselvesAreLegal) {
  std::string lines = group("00", std::string(32, 'l'), std::string(16, '9'), serials(32));
  EXPECT_EQ(complaints(section("VirtualToken", lines)), Lines{});

  lines.clear();
  for (unsigned i = 0; i < 102; ++i) {
    const std::string n = std::to_string(i);
    lines += group(n, "g" + n, "1" + n, "m" + n);
  }
  const Settings settings = readText(section("VirtualToken", lines));
  EXPECT_EQ(settings.groups.size(), 100U);
  EXPECT_EQ(linesOf(settings),
            (Lines{"E f:302: VirtualToken100Label: expected at most 100 groups; the group is left out",
                   "E f:305: VirtualToken101Label: expected at most 100 groups; the group is left out"}));
}

TEST(Settings, StandbyMembersAreTakenOnce) {
  const Settings settings = readText(section("VirtualToken", group("00", "g", "1", "a,b,c")) +
                                     section("HAConfiguration", "GStandbyMembers = b,b;\n"));
  EXPECT_EQ(linesOf(settings), Lines{"W f:7: GStandbyMembers: expected each standby member once, found \"b\" twice"});
  EXPECT_EQ(settings.groups.at(0).standby, Lines{"b"});
}

TEST(Settings, LabelsThatDifferInCaseOnlyAreTwoGroups) {
  const Settings settings =
      readText(section("VirtualToken", group("00", "ha", "1", "a") + group("01", "HA", "2", "b")) +
               section("HASynchronize", "HA = 0;\n") + section("HARecovery", "Ha = 3;\n"));
  EXPECT_EQ(linesOf(settings), Lines{});
  ASSERT_EQ(settings.groups.size(), 2U);
  EXPECT_TRUE(settings.groups[0].synchronize);
  EXPECT_FALSE(settings.groups[1].synchronize);
  EXPECT_EQ(settings.groups[0].recoveryCounter, 3U);
  EXPECT_EQ(settings.groups[1].recoveryCounter, 0U);
}

TEST(Settings, HostNamesAsMembersAreKeptWithAWarning) {
  const Settings settings =
      readText(section("VirtualToken", group("00", "g", "1", "hsm.example, 12345678901234567, a")));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{"W f:4: VirtualToken00Members: expected serial numbers of at most 16 characters, found \"hsm.example\"",
             "W f:4: VirtualToken00Members: expected serial numbers of at most 16 characters, found "
             "\"12345678901234567\""}));
  EXPECT_EQ(settings.groups.at(0).members.size(), 3U);
}

TEST(Settings, ASerialThatIsAMembersIsAWarning) {
  const Settings settings = readText(section("VirtualToken", group("00", "myHA", "150032", "150032")));
  EXPECT_EQ(linesOf(settings), Lines{"W f:3: VirtualToken00SN: expected a serial number of its own, \"150032\" is that "
                                     "of a member of group 00"});
  EXPECT_EQ(settings.groups.size(), 1U);
  EXPECT_EQ(
      complaints(section("VirtualToken", group("00", "g", "b1", "a") + group("01", "h", "2", "b1"))),
      Lines{"W f:3: VirtualToken00SN: expected a serial number of its own, \"b1\" is that of a member of group 01"});
}

TEST(Settings, BadSynchronizeAndRecoveryValuesKeepTheGroup) {
  const Settings settings = readText(section("VirtualToken", group("00", "g", "1", "a")) +
                                     section("HASynchronize", "g = yes;\n") + section("HARecovery", "g = -1;\n"));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{"E f:7: g: expected 0 or 1, found \"yes\"; the default 1 is used",
             "E f:10: g: expected a whole number from 0 to 9223372036854775807, found \"-1\"; the default 0 is used"}));
  EXPECT_TRUE(settings.groups.at(0).synchronize);
}

TEST(Settings, NestedGroupsAreReadAsFarAsTheyGo) {
  const Settings settings = readText("HAConfiguration = {\nHAOnly = 0;\nVirtualToken = {\n" +
                                     group("00", "g", "1", "a") + "}\nreconnAtt = 5;\n}\n");
  EXPECT_EQ(linesOf(settings),
            (Lines{"W f:3: expected \"}\" of section \"HAConfiguration\" before section "
                   "\"VirtualToken\" begins; it is taken to end here",
                   "W f:8: expected \"Section = {\" before it", "W f:9: expected no \"}\" outside of a section"}));
  EXPECT_EQ(settings.groups.size(), 1U);
  EXPECT_FALSE(settings.ha.haOnly);
}

TEST(Settings, ServersAreChecked) {
  const Settings settings =
      readText(section("LunaSA Client",
                       "ServerName00 = a;\nServerPort00 = x;\nServerPort01 = 1;\nServerName02 = A;\n"
                       "ServerName03 = a;\nServerPort03 = 1793;\n"));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{"E f:3: ServerPort00: expected a whole number from 1 to 65535, found \"x\"; the default 1792 is used",
             "W f:4: ServerPort01: expected a ServerName of the same number",
             "W f:5: ServerName02: expected each server once, found \"A\" in line 2 already; this one is ignored"}));
  ASSERT_EQ(settings.client.servers.size(), 2U);
  EXPECT_EQ(settings.client.servers[0].port, 1792);
  EXPECT_EQ(settings.client.servers[1].port, 1793);
}

TEST(Settings, ModulesAreChecked) {
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

TEST(Settings, TextWithNulBytesIsRefused) {
  EXPECT_EQ(complaints(std::string("HAConfiguration = {\nhaLogPath = /a\0b;\n}\n", 40)),
            (Lines{"W f:2: expected text (ASCII or UTF-8), found a NUL byte",
                   "E f:2: haLogPath: expected a text, found \"/a\\x00b\"; it is ignored"}));
}

TEST(Settings, NastyFilesAreRead) {
  for (const auto& file : test::nastyFiles()) {
    for (const char* name : {"VirtualToken", "HAConfiguration", "HASynchronize", "p11ha", "LunaSA Client"}) {
      const Settings settings = readText(std::string(name) + " = {\n" + file);
      for (const auto& each : settings.diagnostics) {
        for (const char c : each.format()) ASSERT_TRUE(c >= 0x20 && c < 0x7f);
      }
    }
  }
}

TEST(Settings, ManyFindingsAreBounded) {
  std::string lines;
  for (int i = 0; i < 100000; ++i) lines += "Unknown" + std::to_string(i) + " = 1;\n";
  const Settings settings = readText(section("p11ha", lines));
  ASSERT_EQ(settings.diagnostics.size(), Diagnostics::kMost + 1);
  EXPECT_EQ(settings.diagnostics.back().text, "99900 more findings are not shown");
}

TEST(Schema, DescribesEveryKeyOnce) {
  std::set<std::string> names;
  for (const KeyDescription& key : describeKeys()) {
    EXPECT_TRUE(isOurSection(key.section));
    EXPECT_FALSE(key.expected.empty());
    EXPECT_TRUE(names.insert(key.section + "/" + key.name).second) << key.name;
    std::string name = key.name;
    if (const auto at = name.find("NN"); at != std::string::npos) name.replace(at, 2, "00");
    if (key.fallback.empty()) continue;
    EXPECT_EQ(objection(key.section, name, key.fallback), std::nullopt) << key.name;
    if (!key.alias.empty()) {
      EXPECT_EQ(objection(key.section, key.alias, key.fallback), std::nullopt) << key.alias;
    }
  }
  EXPECT_EQ(names.size(), 35U);
}

TEST(Schema, ObjectsToUnknownKeysOfOurSectionsOnly) {
  EXPECT_EQ(objection("p11ha", "Foo", "1"), "expected a key of section p11ha");
  EXPECT_EQ(objection("LunaSA Client", "Foo", "1"), std::nullopt);
  EXPECT_EQ(objection("Misc", "Foo", "1"), std::nullopt);
  EXPECT_FALSE(isOurSection("Misc"));
  EXPECT_TRUE(isOurSection("lunasaclient"));
}

}  // namespace
}  // namespace p11ha::config
