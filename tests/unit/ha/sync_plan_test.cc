#include "ha/sync_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "tests/support/random.h"

namespace p11ha::ha {
namespace {

using What = SyncAction::What;
using Sort = SyncNote::Sort;
using Types = std::vector<CK_ATTRIBUTE_TYPE>;

constexpr MemberMask kA = bit(0);
constexpr MemberMask kB = bit(1);
constexpr MemberMask kC = bit(2);
constexpr MemberMask kAll = kA | kB | kC;

SyncObject object(MemberMask holders) {
  SyncObject made;
  made.holders = holders;
  return made;
}

SyncNote note(Sort sort, std::uint64_t at, MemberMask holders, std::vector<std::size_t> objects, Types types = {}) {
  return {sort,  at,    holders,          std::move(objects),
          false, false, std::move(types), static_cast<unsigned>(std::countr_zero(holders))};
}

/// Members A, B and C, in that order by their serial numbers; B has come back.
SyncState state(std::vector<SyncObject> objects, std::vector<SyncNote> notes = {}, MemberMask here = kAll) {
  return {std::move(objects), std::move(notes), kAll, here, kB};
}

std::vector<SyncAction> only(What what, const std::vector<SyncAction>& actions) {
  std::vector<SyncAction> some;
  std::copy_if(actions.begin(), actions.end(), std::back_inserter(some),
               [&](const SyncAction& action) { return action.what == what; });
  return some;
}

SyncAction destroy(std::size_t object, unsigned member) { return {What::Destroy, member, object, 0, 0, {}, {}}; }
SyncAction copy(std::size_t object, unsigned source, unsigned member) {
  return {What::Copy, member, object, 0, source, {}, {}};
}
SyncAction write(std::size_t note, unsigned member) { return {What::WriteNote, member, 0, note, 0, {}, {}}; }
SyncAction remove(std::size_t note, unsigned member) { return {What::RemoveNote, member, 0, note, 0, {}, {}}; }

void apply(SyncState& to, const SyncAction& action) {
  switch (action.what) {
    case What::Destroy:
      to.objects[action.object].holders &= ~bit(action.member);
      break;
    case What::Copy:
      EXPECT_NE(to.objects[action.object].holders & bit(action.source), 0U);
      to.objects[action.object].holders |= bit(action.member);
      break;
    case What::Change:
      EXPECT_NE(to.objects[action.object].holders & bit(action.member), 0U);
      EXPECT_NE(to.objects[action.object].holders & bit(action.source), 0U);
      break;
    case What::WriteNote:
      to.notes[action.note].holders |= bit(action.member);
      break;
    case What::RemoveNote:
      to.notes[action.note].holders &= ~bit(action.member);
      break;
  }
}

SyncState after(SyncState from, const std::vector<SyncAction>& actions, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) apply(from, actions[i]);
  return from;
}
/// Once run, there is nothing left to do.
SyncState settled(SyncState from) {
  const std::vector<SyncAction> actions = plan(from);
  from = after(from, actions, actions.size());
  // What is unclear keeps its notes, and what they ask for is asked for again.
  EXPECT_EQ(only(What::Change, plan(from)), plan(from));
  return from;
}

TEST(SyncPlan, WhatIsMissingIsCopiedFromTheFirstThatHoldsIt) {
  SyncObject destroyed = object(kA);
  destroyed.alive = false;
  SyncObject alike = object(kA);
  alike.unclear = kB;
  const SyncState given = state({object(kAll), object(kC), object(0), destroyed, alike, object(kA | kC)});
  EXPECT_EQ(plan(given), (std::vector<SyncAction>{copy(1, 2, 1), copy(5, 0, 1)}));
  EXPECT_TRUE(plan({}).empty());
}

TEST(SyncPlan, OnlyToThoseThatCameBackAnythingIsCopied) {
  SyncState given = state({object(kB), object(kA)});
  EXPECT_EQ(plan(given), (std::vector<SyncAction>{copy(1, 0, 1)}));
  given.returned = kAll;
  EXPECT_EQ(plan(given), (std::vector<SyncAction>{copy(0, 1, 0), copy(0, 1, 2), copy(1, 0, 1), copy(1, 0, 2)}));
}

TEST(SyncPlan, ATombstoneOnEitherSideCountsForBoth) {
  EXPECT_EQ(plan(state({object(kB)}, {note(Sort::Destroyed, 5, kA | kC, {0})})),
            (std::vector<SyncAction>{destroy(0, 1), remove(0, 0), remove(0, 2)}));
  EXPECT_EQ(plan(state({object(kA | kC)}, {note(Sort::Destroyed, 5, kB, {0})})),
            (std::vector<SyncAction>{destroy(0, 0), destroy(0, 2), remove(0, 1)}));
}

TEST(SyncPlan, WithoutATombstoneNothingIsDestroyed) {
  tests::Random random(1);
  for (int i = 0; i < 1000; ++i) {
    SyncState given = state({object(static_cast<MemberMask>(random.below(8)))});
    given.notes = {note(Sort::MadeAnew, random.below(3), static_cast<MemberMask>(random.below(8)), {0}),
                   note(Sort::Changed, random.below(3), static_cast<MemberMask>(random.below(8)), {0}, {CKA_LABEL})};
    EXPECT_TRUE(only(What::Destroy, plan(given)).empty());
  }
}

TEST(SyncPlan, ANoteGoesToWhoComesBackAsLongAsAnotherIsAway) {
  EXPECT_EQ(plan(state({object(kB)}, {note(Sort::Destroyed, 5, kA, {0})}, kA | kB)),
            (std::vector<SyncAction>{destroy(0, 1), write(0, 1)}));
  EXPECT_EQ(plan(state({}, {note(Sort::Destroyed, 5, kA, {})}, kA | kB)), (std::vector<SyncAction>{write(0, 1)}));
  EXPECT_EQ(plan(state({}, {note(Sort::Destroyed, 5, kA | kB, {})})),
            (std::vector<SyncAction>{remove(0, 0), remove(0, 1)}));
}

TEST(SyncPlan, WhatWasMadeAnewIsKeptByTheLaterNote) {
  const auto given = [](std::uint64_t destroyed, std::uint64_t made) {
    return state({object(kB)}, {note(Sort::Destroyed, destroyed, kC, {0}), note(Sort::MadeAnew, made, kA, {0})});
  };
  EXPECT_TRUE(only(What::Destroy, plan(given(5, 6))).empty());

  EXPECT_EQ(only(What::Destroy, plan(given(6, 5))).size(), 1U);
  // Of one time, the one on the member of the smaller serial number.
  EXPECT_TRUE(only(What::Destroy, plan(given(5, 5))).empty());
}

TEST(SyncPlan, AnObjectBesideItsOwnTombstoneWasMadeAnew) {
  const SyncState given = state({object(kA)}, {note(Sort::Destroyed, 5, kA, {0})}, kA | kB);
  EXPECT_EQ(plan(given), (std::vector<SyncAction>{copy(0, 0, 1)})) << "and the tombstone goes no further";
}

TEST(SyncPlan, KeysGoBeforeThePublicKeysThatTheyAreKnownBy) {
  SyncObject key = object(kB);
  key.isKey = true;
  const auto actions =
      plan(state({object(kB), key}, {note(Sort::Destroyed, 5, kA, {0}), note(Sort::Destroyed, 6, kA, {1})}));
  ASSERT_EQ(only(What::Destroy, actions).size(), 2U);
  EXPECT_EQ(actions[0], destroy(1, 1));
  EXPECT_EQ(actions[1], destroy(0, 1));
}

TEST(SyncPlan, WhatNothingCanTellApartIsLeftAloneAndSoAreItsNotes) {
  SyncObject disputed = object(kB);
  disputed.isDisputed = true;
  SyncNote open = note(Sort::Destroyed, 5, kA, {});
  open.isDisputed = true;
  EXPECT_TRUE(plan(state({disputed}, {open})).empty());
  SyncObject unclear = object(kA);
  unclear.unclear = kB;
  EXPECT_TRUE(plan(state({unclear}, {note(Sort::Changed, 5, kA, {0}, {CKA_LABEL})})).empty());
}

TEST(SyncPlan, WhatWasNotedMeanwhileStaysWhereItIs) {
  for (const MemberMask here : {kA | kB, kAll}) {
    SyncNote fresh = note(Sort::Destroyed, 5, kA, {0});
    fresh.isFresh = true;
    EXPECT_EQ(plan(state({object(kB)}, {fresh}, here)), (std::vector<SyncAction>{destroy(0, 1)}));
  }
}

TEST(SyncPlan, WhoHasTheRecordGivesTheValue) {
  const SyncState given = state({object(kAll)}, {note(Sort::Changed, 5, kA | kC, {0}, {CKA_LABEL, CKA_ID})});
  EXPECT_EQ(plan(given),
            (std::vector<SyncAction>{{What::Change, 1, 0, 0, 0, {CKA_LABEL, CKA_ID}, {}}, remove(0, 0), remove(0, 2)}));
}

TEST(SyncPlan, OfTwoChangesTheLaterCountsThenTheSmallerSerialNumber) {
  const auto given = [](std::uint64_t here, std::uint64_t there) {
    return state({object(kAll)}, {note(Sort::Changed, here, kA | kC, {0}, {CKA_LABEL, CKA_ID}),
                                  note(Sort::Changed, there, kB, {0}, {CKA_LABEL, CKA_ENCRYPT})});
  };
  const std::vector<SyncAction> hereWins = {{What::Change, 0, 0, 1, 1, {CKA_ENCRYPT}, {}},
                                            {What::Change, 1, 0, 0, 0, {CKA_LABEL, CKA_ID}, {CKA_LABEL}},
                                            {What::Change, 2, 0, 1, 1, {CKA_ENCRYPT}, {}}};
  const auto sorted = [](std::vector<SyncAction> actions) {
    std::sort(actions.begin(), actions.end(),
              [](const SyncAction& a, const SyncAction& b) { return a.member < b.member; });
    return actions;
  };
  EXPECT_EQ(sorted(only(What::Change, plan(given(6, 5)))), hereWins);
  EXPECT_EQ(sorted(only(What::Change, plan(given(5, 5)))), hereWins);
  const auto thereWins = only(What::Change, plan(given(5, 6)));
  for (const SyncAction& action : thereWins) {
    const bool takesLabel = std::find(action.types.begin(), action.types.end(), CKA_LABEL) != action.types.end();
    EXPECT_EQ(takesLabel, action.member != 1);
    EXPECT_EQ(action.lost, takesLabel ? Types{CKA_LABEL} : Types{});
  }
}

TEST(SyncPlan, AChangeThatFollowedAnotherTakesNothingAway) {
  // C was lost between the two.
  const SyncState given = state({object(kA | kC)}, {note(Sort::Changed, 5, kA | kC, {0}, {CKA_LABEL}),
                                                    note(Sort::Changed, 6, kA, {0}, {CKA_LABEL})});
  EXPECT_EQ(only(What::Change, plan(given)), (std::vector<SyncAction>{{What::Change, 2, 0, 1, 0, {CKA_LABEL}, {}}}));
}

TEST(SyncPlan, ADestructionBeatsAChange) {
  const SyncState given =
      state({object(kA | kC)}, {note(Sort::Destroyed, 5, kB, {0}), note(Sort::Changed, 9, kA | kC, {0}, {CKA_LABEL})});
  const auto actions = plan(given);
  EXPECT_EQ(only(What::Destroy, actions).size(), 2U);
  EXPECT_TRUE(only(What::Change, actions).empty());
  EXPECT_TRUE(only(What::Copy, actions).empty());
}

// Whatever the members hold, and wherever it is cut off: the rest comes, and then there is nothing left to do.
TEST(SyncPlan, CutOffAnywhereAndPlannedAgainItEndsTheSame) {
  tests::Random random(7);
  const auto mask = [&] { return static_cast<MemberMask>(random.below(8)); };
  for (int i = 0; i < 3000; ++i) {
    SyncState given = state({}, {}, kB | mask());
    for (std::size_t n = 0; n < 4; ++n) {
      SyncObject made = object(mask() & given.here);
      made.isKey = random.below(2) == 0;
      if (random.below(8) == 0) made.unclear = given.here & ~made.holders;
      given.objects.push_back(made);
    }
    for (std::size_t n = 0; n < 3; ++n) {
      const auto sort = static_cast<Sort>(random.below(3));
      Types types;
      if (sort == Sort::Changed) types = {random.below(2) == 0 ? CKA_LABEL : CKA_ID};
      // A tombstone is on no member where its object is, but for one that was made anew.
      given.notes.push_back(note(sort, random.below(4), mask() & given.here, {random.below(4)}, types));
    }
    const std::vector<SyncAction> actions = plan(given);
    const SyncState whole = settled(given);
    for (std::size_t cut = 0; cut < actions.size(); ++cut) {
      const SyncState resumed = settled(after(given, actions, cut));
      ASSERT_EQ(resumed.objects, whole.objects) << "schedule " << i << " cut after " << cut;
    }
  }
}

}  // namespace
}  // namespace p11ha::ha
