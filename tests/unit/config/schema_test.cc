// Keys, and the values that each takes.
#include "config/schema.h"

#include <gtest/gtest.h>

#include <set>

namespace p11ha::config {
namespace {

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
  EXPECT_EQ(names.size(), 36U);
}

TEST(Schema, ObjectsToUnknownKeysOfOurSectionsOnly) {
  EXPECT_EQ(objection("p11ha", "Foo", "1"), "expected a key of section p11ha");
  EXPECT_EQ(objection("LunaSA Client", "Foo", "1"), std::nullopt);
  EXPECT_EQ(objection("Misc", "Foo", "1"), std::nullopt);
  EXPECT_FALSE(isOurSection("Misc"));
  EXPECT_TRUE(isOurSection("lunasaclient"));
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

TEST(Schema, TakesTheEndsOfEveryRangeAndNothingBeyond) {
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

TEST(Schema, EveryNumberRefusesWhatIsNotOne) {
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

}  // namespace
}  // namespace p11ha::config
