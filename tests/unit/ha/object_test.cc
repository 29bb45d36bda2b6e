#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "ha/object_table.h"

namespace p11ha::ha {
namespace {

TEST(Object, KnowsNothingOfAMemberAtFirst) {
  const Object object(5, 0, {});
  EXPECT_EQ(object.handle(), 5U);
  EXPECT_FALSE(object.isSessionObject());
  EXPECT_EQ(object.holding(0, 1), Holding::Unknown);
  EXPECT_EQ(object.at(0, 1), CK_INVALID_HANDLE);
  EXPECT_EQ(object.usable(), 0U);
  EXPECT_EQ(object.known(), 0U);
  EXPECT_TRUE(object.alive());
  EXPECT_TRUE(Object(6, 9, {}).isSessionObject());
}

TEST(Object, WhatWasLearntUnderAnotherEpochIsUnknown) {
  Object object(5, 0, {});
  ASSERT_TRUE(object.bind(3, 7, 100, Holding::Held));
  EXPECT_EQ(object.holding(3, 7), Holding::Held);
  EXPECT_EQ(object.at(3, 7), 100U);
  for (const std::uint32_t stale : {0U, 6U, 8U}) {
    EXPECT_EQ(object.holding(3, stale), Holding::Unknown);
    EXPECT_EQ(object.at(3, stale), CK_INVALID_HANDLE);
  }
  EXPECT_EQ(object.holding(2, 7), Holding::Unknown);
  EXPECT_EQ(object.usable(), bit(3));
  EXPECT_EQ(object.known(), bit(3));
}

TEST(Object, AClaimHasAHandleAndAnAbsentOneHasNone) {
  Object object(5, 0, {});
  object.bind(31, 1, 100, Holding::Claimed);
  EXPECT_EQ(object.at(31, 1), 100U);
  EXPECT_EQ(object.usable(), bit(31));
  object.markAbsent(31, 1);
  EXPECT_EQ(object.holding(31, 1), Holding::Absent);
  EXPECT_EQ(object.at(31, 1), CK_INVALID_HANDLE);
  EXPECT_EQ(object.usable(), 0U);
  EXPECT_EQ(object.known(), bit(31));
}

TEST(Object, BindFailsAfterItsEnd) {
  Object object(5, 0, {});
  EXPECT_TRUE(object.end());
  EXPECT_FALSE(object.end());
  EXPECT_FALSE(object.alive());
  EXPECT_FALSE(object.bind(0, 1, 100, Holding::Held));
  EXPECT_EQ(object.at(0, 1), CK_INVALID_HANDLE);
}

TEST(Object, IdentityCanChange) {
  Object object(5, 0, {});
  Identity identity;
  identity.label = {1, 2};
  object.setIdentity(identity);
  EXPECT_EQ(object.identity(), identity);
}

TEST(Object, WhatItIsMadeOfStaysWhereANewIdentityDoesNotTell) {
  Identity identity;
  identity.material = {7};
  identity.lent = true;
  Object object(5, 0, identity);
  Identity renamed;
  renamed.label = {1, 2};
  object.setIdentity(renamed);
  EXPECT_EQ(object.identity().label, renamed.label);
  EXPECT_EQ(object.identity().material, identity.material);
  EXPECT_TRUE(object.isUnsettled());
}

TEST(Object, AnAmbiguousOneHasNoHandleUntilItIsBound) {
  Object object(5, 0, {});
  object.bind(3, 1, 100, Holding::Claimed);
  object.markAmbiguous(3, 1);
  EXPECT_EQ(object.holding(3, 1), Holding::Ambiguous);
  EXPECT_EQ(object.at(3, 1), CK_INVALID_HANDLE);
  EXPECT_EQ(object.usable(), 0U);
  EXPECT_EQ(object.known(), bit(3));
  EXPECT_EQ(object.holding(3, 2), Holding::Unknown) << "in its next life it is looked for again";
  object.bind(3, 1, 101, Holding::Held);
  EXPECT_EQ(object.at(3, 1), 101U);
  EXPECT_EQ(object.usable(), bit(3));
}

TEST(Object, WhatIsSaidLateOfAnEarlierLifeIsVoid) {
  Object object(5, 0, {});
  object.bind(3, 2, 100, Holding::Held);
  object.markAmbiguous(3, 1);
  EXPECT_EQ(object.holding(3, 2), Holding::Held);
  EXPECT_EQ(object.at(3, 2), 100U);
  EXPECT_EQ(object.usable(), bit(3));
}

TEST(Object, MaterialIsLentToOneThatHasNone) {
  Object object(5, 0, {});
  EXPECT_FALSE(object.isUnsettled());
  object.lend({7});
  EXPECT_TRUE(object.isUnsettled());
  EXPECT_TRUE(object.identity().lent);
  EXPECT_EQ(object.identity().material, std::vector<std::uint8_t>{7});
  object.lend({8});
  EXPECT_EQ(object.identity().material, std::vector<std::uint8_t>{7}) << "the first to lend";

  Identity own;
  own.material = {9};
  Object other(6, 0, own);
  other.lend({7});
  EXPECT_FALSE(other.isUnsettled());
  EXPECT_EQ(other.identity(), own);
}

TEST(Object, LentMaterialStaysIfItIsItsOwn) {
  Object object(5, 0, {});
  object.lend({7});
  object.settle({7}, true);
  EXPECT_FALSE(object.isUnsettled());
  EXPECT_FALSE(object.identity().lent);
  EXPECT_EQ(object.identity().material, std::vector<std::uint8_t>{7});
  object.settle({7}, false);
  EXPECT_EQ(object.identity().material, std::vector<std::uint8_t>{7}) << "settled is settled";
}

TEST(Object, LentMaterialGoesIfItIsAnothers) {
  Identity lent;
  lent.material = {7};
  lent.lent = true;
  Object object(5, 0, lent);
  EXPECT_TRUE(object.isUnsettled()) << "as it was read";
  object.settle({7}, false);
  EXPECT_FALSE(object.isUnsettled());
  EXPECT_EQ(object.identity(), Identity{});
}

TEST(Object, WhatWasTriedOfOtherMaterialSettlesNothing) {
  Object object(5, 0, {});
  object.lend({7});
  object.settle({8}, true);
  object.settle({8}, false);
  EXPECT_TRUE(object.isUnsettled());
  EXPECT_EQ(object.identity().material, std::vector<std::uint8_t>{7});
}

TEST(Object, ANewIdentityTellsWhetherItIsLent) {
  Object object(5, 0, {});
  Identity identity;
  identity.material = {7};
  identity.lent = true;
  object.setIdentity(identity);
  EXPECT_TRUE(object.isUnsettled());
  identity.lent = false;
  object.setIdentity(identity);
  EXPECT_FALSE(object.isUnsettled());
}

TEST(ObjectTable, FindsByEitherHandle) {
  ObjectTable table;
  const ObjectPtr object = table.create(0, {});
  EXPECT_EQ(table.find(object->handle()), object);
  EXPECT_TRUE(table.bind(object, 2, 1, 77, Holding::Held));
  EXPECT_EQ(table.findAt(2, 77), object);
  EXPECT_EQ(table.findAt(1, 77), nullptr);
  EXPECT_EQ(table.findAt(2, 78), nullptr);
  EXPECT_EQ(table.find(CK_INVALID_HANDLE), nullptr);
  EXPECT_EQ(table.all(), std::vector<ObjectPtr>{object});
}

TEST(ObjectTable, HandlesNeverRepeatNotEvenInAnotherTable) {
  std::set<CK_OBJECT_HANDLE> handles;
  for (int round = 0; round < 10; ++round) {
    ObjectTable table;
    for (int i = 0; i < 200; ++i) {
      const ObjectPtr object = table.create(0, {});
      EXPECT_NE(object->handle(), CK_INVALID_HANDLE);
      EXPECT_TRUE(handles.insert(object->handle()).second);
      table.remove(object);
    }
  }
}

TEST(ObjectTable, ARemovedObjectIsGoneEitherWay) {
  ObjectTable table;
  const ObjectPtr object = table.create(0, {});
  table.bind(object, 0, 1, 77, Holding::Held);
  table.bind(object, 1, 1, 88, Holding::Claimed);
  EXPECT_TRUE(table.remove(object));
  EXPECT_FALSE(table.remove(object));
  EXPECT_EQ(table.find(object->handle()), nullptr);
  EXPECT_EQ(table.findAt(0, 77), nullptr);
  EXPECT_EQ(table.findAt(1, 88), nullptr);
  EXPECT_FALSE(table.bind(object, 0, 1, 77, Holding::Held));
  EXPECT_EQ(table.findAt(0, 77), nullptr);
}

TEST(ObjectTable, RemovingOneLeavesAMembersHandleThatIsAnothersByNow) {
  ObjectTable table;
  const ObjectPtr before = table.create(0, {});
  const ObjectPtr after = table.create(0, {});
  table.bind(before, 0, 1, 77, Holding::Held);
  table.bind(after, 0, 2, 77, Holding::Held);
  table.remove(before);
  EXPECT_EQ(table.findAt(0, 77), after);
}

TEST(ObjectTable, HiddenObjectsAreKnownButNotFound) {
  ObjectTable table;
  EXPECT_FALSE(table.hidden(0, 5));
  table.hide(0, 5);
  table.hide(0, 6);
  const ObjectPtr shown = table.create(0, {});
  table.bind(shown, 0, 1, 7, Holding::Held);
  EXPECT_TRUE(table.hidden(0, 5));
  EXPECT_FALSE(table.hidden(1, 5));
  EXPECT_FALSE(table.hidden(0, 7));
  EXPECT_EQ(table.findAt(0, 5), nullptr);
  table.unhide(0, 5);
  EXPECT_FALSE(table.hidden(0, 5));
  table.forgetHidden(0);
  EXPECT_FALSE(table.hidden(0, 6));
  EXPECT_EQ(table.findAt(0, 7), shown);
}

TEST(ObjectTable, ForgetsAMembersHandles) {
  ObjectTable table;
  const ObjectPtr object = table.create(0, {});
  table.bind(object, 0, 1, 7, Holding::Held);
  table.bind(object, 1, 1, 8, Holding::Held);
  table.forgetMember(0);
  EXPECT_EQ(table.findAt(0, 7), nullptr);
  EXPECT_EQ(table.findAt(1, 8), object);
  table.forgetBinding(1, 8);
  EXPECT_EQ(table.findAt(1, 8), nullptr);
  EXPECT_EQ(table.find(object->handle()), object);
}

TEST(ObjectTable, RemovesByCondition) {
  ObjectTable table;
  const ObjectPtr token = table.create(0, {});
  const ObjectPtr session = table.create(9, {});
  const auto removed = table.removeIf([](const Object& object) { return object.isSessionObject(); });
  EXPECT_EQ(removed, std::vector<ObjectPtr>{session});
  EXPECT_EQ(table.all(), std::vector<ObjectPtr>{token});
}

TEST(ObjectTable, ServesManyThreadsAtOnce) {
  constexpr unsigned kThreads = 8;
  constexpr CK_OBJECT_HANDLE kPerThread = 2000;
  ObjectTable table;
  std::array<std::vector<CK_OBJECT_HANDLE>, kThreads> made;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&table, &made, thread] {
      for (CK_OBJECT_HANDLE i = 0; i < kPerThread; ++i) {
        const CK_OBJECT_HANDLE there = thread * kPerThread + i + 1;
        const ObjectPtr object = table.create(0, {});
        table.bind(object, 0, 1, there, Holding::Held);
        EXPECT_EQ(table.find(object->handle()), object);
        EXPECT_EQ(table.findAt(0, there), object);
        if (i % 2 == 0) {
          table.remove(object);
          EXPECT_EQ(table.findAt(0, there), nullptr);
        }
        made[thread].push_back(object->handle());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<CK_OBJECT_HANDLE> handles;
  for (const auto& each : made) handles.insert(each.begin(), each.end());
  EXPECT_EQ(handles.size(), kThreads * kPerThread);
  EXPECT_EQ(table.all().size(), kThreads * kPerThread / 2);
}

TEST(ObjectTable, OneOfManyEndsAnObject) {
  ObjectTable table;
  for (int round = 0; round < 50; ++round) {
    const ObjectPtr object = table.create(0, {});
    std::atomic<int> ended{0};
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        table.bind(object, thread, 1, 1, Holding::Held);
        if (table.remove(object)) ++ended;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ended.load(), 1);
    EXPECT_EQ(table.find(object->handle()), nullptr);
  }
}

TEST(Object, IsUnboundOnlyFromTheHandleThatIsMeant) {
  Object object(1, 0, Identity());
  object.bind(0, 1, 7, Holding::Held);
  EXPECT_FALSE(object.unbind(0, 1, 8, Holding::Absent));
  EXPECT_EQ(object.at(0, 1), 7U);
  EXPECT_TRUE(object.unbind(0, 1, 7, Holding::Absent));
  EXPECT_EQ(object.holding(0, 1), Holding::Absent);
  EXPECT_FALSE(object.unbind(0, 1, 7, Holding::Unknown));
}

// What is renamed keeps its handle.
TEST(Object, HasGoneFromAMemberThatWasSeenToHoldIt) {
  Object object(1, 0, Identity());
  object.markAbsent(0, 1);
  EXPECT_FALSE(object.hasGone(0, 1)) << "it never was there";
  object.bind(0, 1, 7, Holding::Claimed);
  EXPECT_FALSE(object.hasGone(0, 1));
  object.unbind(0, 1, 7, Holding::Unknown);
  EXPECT_TRUE(object.hasGone(0, 1));
  object.markAbsent(0, 1);
  EXPECT_TRUE(object.hasGone(0, 1)) << "nor was it there when it was looked for once more";
  EXPECT_EQ(object.holding(0, 1), Holding::Absent);
  EXPECT_FALSE(object.hasGone(1, 1)) << "another member";
  object.bind(0, 1, 8, Holding::Held);
  EXPECT_FALSE(object.hasGone(0, 1)) << "it is there again";
  object.markAbsent(0, 1);
  EXPECT_TRUE(object.hasGone(0, 1));
}

TEST(Object, HasNotGoneFromAMemberOfWhichNothingIsKnownAnyMore) {
  Object object(1, 0, Identity());
  object.bind(0, 1, 7, Holding::Held);
  object.forget(0, 1);
  EXPECT_FALSE(object.hasGone(0, 1)) << "its handles may be others";
  object.bind(0, 1, 7, Holding::Held);
  object.unbind(0, 1, 7, Holding::Absent);
  ASSERT_TRUE(object.hasGone(0, 1));
  object.forget(0, 1);
  EXPECT_FALSE(object.hasGone(0, 1));
}

TEST(Object, HasNotGoneInAnotherLifeOfTheMember) {
  Object object(1, 0, Identity());
  object.bind(0, 1, 7, Holding::Held);
  object.unbind(0, 1, 7, Holding::Absent);
  ASSERT_TRUE(object.hasGone(0, 1));
  EXPECT_FALSE(object.hasGone(0, 2));
  object.markAbsent(0, 2);
  EXPECT_FALSE(object.hasGone(0, 2)) << "in this life it was not seen there";
  EXPECT_FALSE(object.hasGone(0, 1));
}

}  // namespace
}  // namespace p11ha::ha
