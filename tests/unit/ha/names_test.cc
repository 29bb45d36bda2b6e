#include "ha/notes/names.h"

#include <gtest/gtest.h>

namespace p11ha::ha::notes {
namespace {

Subject called(std::uint8_t label) {
  Subject subject;
  subject.objectClass = CKO_DATA;
  subject.label = {label};
  return subject;
}
Note changed(std::uint8_t before, std::uint8_t after) {
  return {"1", Change{called(before), called(after), {CKA_LABEL}, 1, "2"}};
}
Note ended(std::uint8_t label, std::uint64_t at, bool cancelled = false) {
  return {"1", Tombstone{called(label), at, cancelled, "2"}};
}
std::set<Name> all(const std::string& labels) {
  std::set<Name> names;
  for (const char label : labels) names.insert(nameOf(called(static_cast<std::uint8_t>(label))));
  return names;
}

TEST(Names, AnObjectHasAllThatItsChangesGaveIt) {
  const Names names({changed('a', 'b'), changed('x', 'y'), changed('b', 'c'), ended('c', 3)});
  for (const std::string one : {"a", "b", "c"}) EXPECT_EQ(names.of(*all(one).begin()), all("abc"));
  EXPECT_EQ(names.of(nameOf(called('y'))), all("xy"));
  EXPECT_EQ(names.of(nameOf(called('z'))), all("z"));
}

// Its label was changed on all members, its CKA_ID while one of them was away.
TEST(Names, AnObjectThatMissedOneChangeOfTwoIsFound) {
  const auto named = [](std::uint8_t label, std::uint8_t id) {
    Subject subject = called(label);
    subject.id = {id};
    return subject;
  };
  const Names names({{"1", Change{named('a', 1), named('a', 2), {CKA_ID}, 1, "2"}},
                     {"1", Change{named('x', 1), named('y', 1), {CKA_LABEL}, 2, "2"}}});
  EXPECT_EQ(names.of(nameOf(named('b', 2))), (std::set<Name>{nameOf(named('b', 1)), nameOf(named('b', 2))}));
  EXPECT_EQ(names.of(nameOf(named('x', 2))).size(), 4U);
  EXPECT_EQ(names.of(nameOf(named('b', 3))).size(), 1U);
}

TEST(Names, NoChangeMakesAnotherKindOfObject) {
  Subject hidden = called('b');
  hidden.isPrivate = true;
  const Names names({{"1", Change{hidden, called('a'), {CKA_LABEL}, 1, "2"}}});
  EXPECT_EQ(names.of(nameOf(hidden)).size(), 1U);
}

TEST(Names, OfTheTombstonesOfANameTheLatestCounts) {
  EXPECT_TRUE(Names({ended('a', 3)}).tellOfEnd(all("ab")));
  EXPECT_FALSE(Names({ended('a', 3)}).tellOfEnd(all("bc")));
  EXPECT_FALSE(Names({ended('a', 3), ended('a', 4, true)}).tellOfEnd(all("a")));
  EXPECT_TRUE(Names({ended('a', 5), ended('a', 4, true)}).tellOfEnd(all("a")));
}

}  // namespace
}  // namespace p11ha::ha::notes
