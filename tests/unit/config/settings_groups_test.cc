// What makes a group, and what keeps one out.
#include "tests/unit/config/settings_text.h"

namespace p11ha::config {
namespace {

using test::complaints;
using test::group;
using test::Lines;
using test::linesOf;
using test::readText;
using test::section;

TEST(SettingsGroups, ReadsMemberListsAsPeopleWriteThem) {
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

TEST(SettingsGroups, OneFaultyGroupIsLeftOutAndTheOthersWork) {
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

TEST(SettingsGroups, AGroupThatIsLeftOutTakesNothingFromTheOthers) {
  const Settings settings = readText(section(
      "VirtualToken", group("00", "g", "1", "a,a") + group("01", "g", "1", "a,b") + group("02", "h", "2", "c")));
  ASSERT_EQ(settings.groups.size(), 2U);
  EXPECT_EQ(settings.groups[0].number, 1U);
  EXPECT_EQ(settings.groups[1].number, 2U);
}

TEST(SettingsGroups, TheLimitsThemselvesAreLegal) {
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

TEST(SettingsGroups, StandbyMembersAreTakenOnce) {
  const Settings settings = readText(section("VirtualToken", group("00", "g", "1", "a,b,c")) +
                                     section("HAConfiguration", "GStandbyMembers = b,b;\n"));
  EXPECT_EQ(linesOf(settings), Lines{"W f:7: GStandbyMembers: expected each standby member once, found \"b\" twice"});
  EXPECT_EQ(settings.groups.at(0).standby, Lines{"b"});
}

TEST(SettingsGroups, LabelsThatDifferInCaseOnlyAreTwoGroups) {
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

TEST(SettingsGroups, HostNamesAsMembersAreKeptWithAWarning) {
  const Settings settings =
      readText(section("VirtualToken", group("00", "g", "1", "hsm.example, 12345678901234567, a")));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{"W f:4: VirtualToken00Members: expected serial numbers of at most 16 characters, found \"hsm.example\"",
             "W f:4: VirtualToken00Members: expected serial numbers of at most 16 characters, found "
             "\"12345678901234567\""}));
  EXPECT_EQ(settings.groups.at(0).members.size(), 3U);
}

TEST(SettingsGroups, ASerialThatIsAMembersIsAWarning) {
  const Settings settings = readText(section("VirtualToken", group("00", "myHA", "150032", "150032")));
  EXPECT_EQ(linesOf(settings), Lines{"W f:3: VirtualToken00SN: expected a serial number of its own, \"150032\" is that "
                                     "of a member of group 00"});
  EXPECT_EQ(settings.groups.size(), 1U);
  EXPECT_EQ(
      complaints(section("VirtualToken", group("00", "g", "b1", "a") + group("01", "h", "2", "b1"))),
      Lines{"W f:3: VirtualToken00SN: expected a serial number of its own, \"b1\" is that of a member of group 01"});
}

TEST(SettingsGroups, BadSynchronizeAndRecoveryValuesKeepTheGroup) {
  const Settings settings = readText(section("VirtualToken", group("00", "g", "1", "a")) +
                                     section("HASynchronize", "g = yes;\n") + section("HARecovery", "g = -1;\n"));
  EXPECT_EQ(
      linesOf(settings),
      (Lines{"E f:7: g: expected 0 or 1, found \"yes\"; the default 1 is used",
             "E f:10: g: expected a whole number from 0 to 9223372036854775807, found \"-1\"; the default 0 is used"}));
  EXPECT_TRUE(settings.groups.at(0).synchronize);
}

}  // namespace
}  // namespace p11ha::config
