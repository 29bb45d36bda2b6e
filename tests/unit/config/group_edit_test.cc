#include "config/group_edit.h"

#include <gtest/gtest.h>

#include "config/schema.h"
#include "tests/unit/config/settings_text.h"

namespace p11ha::tests::group_edit {
namespace {

using config::Document;
using config::Group;

Group grouped(unsigned number, const std::string& label, std::vector<std::string> members) {
  Group group;
  group.number = number;
  group.label = label;
  group.serial = "1" + members.front();
  group.members = std::move(members);
  return group;
}

TEST(GroupEdit, WritesAGroupThatIsReadBackTheSame) {
  Document document = Document::parse("");
  Group group = grouped(0, "my HA", {"111", "222"});
  group.standby = {"222"};
  group.synchronize = false;
  ASSERT_TRUE(putGroup(document, group));
  const auto settings = config::read(document);
  ASSERT_EQ(settings.groups.size(), 1U);
  EXPECT_TRUE(settings.diagnostics.empty());
  EXPECT_EQ(settings.groups[0].members, group.members);
  EXPECT_EQ(settings.groups[0].standby, group.standby);
  EXPECT_FALSE(settings.groups[0].synchronize);
}

TEST(GroupEdit, LeavesAsItIsWhatSaysTheSame) {
  const std::string text =
      "VirtualToken = {\n  VirtualToken7label=x; // the first\n  VirtualToken7SN = 1111;\n"
      "  VirtualToken7Members = 111,222; // two\n}\nHASynchronize = {\n   X = 1;\n}\n";
  Document document = Document::parse(text);
  const auto settings = config::read(document);
  ASSERT_EQ(settings.groups.size(), 1U);
  ASSERT_TRUE(putGroup(document, settings.groups[0]));
  EXPECT_EQ(document.text(), text);
}

TEST(GroupEdit, ChangesTheKeysAsTheyAreSpelled) {
  Document document = Document::parse(
      "VirtualToken = {\nvirtualtoken7LABEL = x;\nVirtualToken7SN = 1111;\nVirtualToken7Members = 111,222; // two\n}\n"
      "HASynchronize = {\nx = 1;\n}\n");
  Group group = config::read(document).groups.at(0);
  group.members.emplace_back("333");
  ASSERT_TRUE(putGroup(document, group));
  EXPECT_EQ(document.text(),
            "VirtualToken = {\nvirtualtoken7LABEL = x;\nVirtualToken7SN = 1111;\n"
            "VirtualToken7Members = 111, 222, 333; // two\n}\nHASynchronize = {\nx = 1;\n}\n");
}

TEST(GroupEdit, RemovesAllOfAGroupAndNothingElse) {
  const std::string other =
      "VirtualToken = {\nVirtualToken01Label = b;\nVirtualToken01SN = 1222;\n"
      "VirtualToken01Members = 222;\n}\nHASynchronize = {\nb = 1;\n}\n";
  Document document = Document::parse(other);
  Group group = grouped(2, "a", {"111", "333"});
  group.standby = {"333"};
  ASSERT_TRUE(putGroup(document, group));
  ASSERT_TRUE(config::put(document, "HARecovery", "<label>", {0, "a"}, "3"));
  dropGroup(document, group);
  EXPECT_EQ(document.text(), other + "HAConfiguration = {\n}\nHARecovery = {\n}\n");
}

TEST(GroupEdit, TakesNoNumberThatAFaultyGroupHas) {
  EXPECT_EQ(freeGroupNumber(Document::parse("")), 0U);
  EXPECT_EQ(freeGroupNumber(Document::parse("VirtualToken = {\nVirtualToken00SN = 1;\nvirtualtoken1Label = b;\n"
                                            "VirtualTokenActiveRecovery = activeBasic;\n}\n")),
            2U);
}

TEST(Put, ChangesTheAliasThatTheFileHas) {
  Document document = Document::parse("HAConfiguration = {\nAutoReconnectedInterval = 5;\n}\n");
  ASSERT_TRUE(config::put(document, "HAConfiguration", "AutoReconnectInterval", {}, "7"));
  EXPECT_EQ(document.text(), "HAConfiguration = {\nAutoReconnectedInterval = 7;\n}\n");
}

TEST(Put, RefusesWhatWouldNotBeRead) {
  Document document = Document::parse("");
  const auto refused = config::put(document, "HAConfiguration", "AutoReconnectInterval", {}, "1201");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), "expected a whole number of seconds from 1 to 1200, found \"1201\"");
  EXPECT_EQ(document.text(), "");
}

}  // namespace
}  // namespace p11ha::tests::group_edit
