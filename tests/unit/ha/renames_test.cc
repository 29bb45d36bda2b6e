#include "ha/renames.h"

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "tests/support/recording_sink.h"

namespace p11ha::ha {
namespace {

using Unnoted = Renames::Unnoted;

Identity called(std::uint8_t label) {
  Identity identity;
  identity.objectClass = CKO_DATA;
  identity.label = {label};
  identity.material = {1};
  return identity;
}
notes::Change renamed(std::uint8_t from, std::uint8_t to) {
  return {notes::subjectOf(called(from)), notes::subjectOf(called(to)), {CKA_LABEL}, 1, "A"};
}
notes::Tombstone ended(std::uint8_t label, bool cancelled = false) {
  return {notes::subjectOf(called(label)), 1, cancelled, "A"};
}

class RenamesTest : public testing::Test {
 protected:
  using Says = decltype(notes::Note::says);
  void note(Says says, const std::string& group = "1000") {
    group_.keepNote(0, ++lastHandle_, {group, std::move(says)});
  }
  void keepNoSync() {
    GroupPolicy policy = group_.policy();
    policy.synchronize = false;
    group_.setPolicy(policy);
  }
  /// Is what is called "b" there the one that is known as "a"?
  bool mayBe(Unnoted unnoted, bool hasGone = false) {
    return Renames(group_, unnoted).mayBe(called('b'), called('a'), hasGone);
  }

 private:
  static GroupPolicy policyOf() {
    GroupPolicy policy;
    policy.serial = "1000";
    return policy;
  }
  tests::ManualClock clock_;
  tests::RecordingSink log_;
  Group group_{policyOf(), clock_, log_};
  CK_OBJECT_HANDLE lastHandle_ = 0;
};

TEST_F(RenamesTest, ACallMayBeRenamingItAtThisMoment) {
  EXPECT_TRUE(mayBe(Unnoted::JustNow));
  EXPECT_FALSE(mayBe(Unnoted::No));
}

TEST_F(RenamesTest, WhatHasGoneFromTheMemberIsNotWhatIsNewThere) { EXPECT_FALSE(mayBe(Unnoted::JustNow, true)); }

TEST_F(RenamesTest, AChangeRecordTellsEvenOfWhatHasGone) {
  note(renamed('x', 'b'));
  note(renamed('x', 'a'));
  EXPECT_TRUE(mayBe(Unnoted::No));
  EXPECT_TRUE(mayBe(Unnoted::No, true));
  EXPECT_TRUE(mayBe(Unnoted::JustNow, true));
}

TEST_F(RenamesTest, AnotherGroupsRecordTellsNothing) {
  note(renamed('a', 'b'), "2000");
  EXPECT_FALSE(mayBe(Unnoted::No));
}

TEST_F(RenamesTest, WhereOneOfEitherNameWasDestroyedItIsACopy) {
  for (const std::uint8_t name : {std::uint8_t{'a'}, std::uint8_t{'b'}}) {
    note(ended(name));
    EXPECT_FALSE(mayBe(Unnoted::JustNow)) << name;
    note(ended(name, true));
    EXPECT_TRUE(mayBe(Unnoted::JustNow)) << name << " was made anew";
  }
}

TEST_F(RenamesTest, ItWasDestroyedUnderAnEarlierName) {
  note(renamed('x', 'a'));
  note(ended('x'));
  EXPECT_FALSE(mayBe(Unnoted::JustNow));
}

TEST_F(RenamesTest, WhereNothingIsNotedAllMayBe) {
  keepNoSync();
  EXPECT_TRUE(mayBe(Unnoted::No));
  EXPECT_TRUE(mayBe(Unnoted::JustNow, true));
}

}  // namespace
}  // namespace p11ha::ha
