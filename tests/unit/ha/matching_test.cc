#include "ha/matching.h"

#include <gtest/gtest.h>

#include "ha/sync_plan.h"

namespace p11ha::ha {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::optional<std::size_t> kNone;

Identity identity(CK_OBJECT_CLASS objectClass, std::uint8_t label, Bytes material) {
  Identity i;
  i.objectClass = objectClass;
  i.type = CKK_RSA;
  i.token = true;
  i.isPrivate = i.isKey();
  i.label = {label};
  i.id = {1};
  i.material = std::move(material);
  return i;
}

std::vector<InventoryEntry> entriesOf(const std::vector<Identity>& identities) {
  std::vector<InventoryEntry> entries;
  for (const Identity& each : identities) entries.push_back({100 + entries.size(), each});
  return entries;
}

Matches matched(const std::vector<Identity>& entries, const std::vector<Identity>& known) {
  return match(entriesOf(entries), known);
}

using Known = std::vector<std::optional<std::size_t>>;
using Ambiguous = std::vector<bool>;

TEST(Match, EqualIdentitiesBelongTogetherWhateverTheirOrder) {
  const Identity a = identity(CKO_PRIVATE_KEY, 'a', {1});
  const Identity b = identity(CKO_PRIVATE_KEY, 'b', {2});
  const Identity c = identity(CKO_CERTIFICATE, 'c', {3});
  const Matches m = matched({c, a, b}, {a, b, c});
  EXPECT_EQ(m.known, (Known{2, 0, 1}));
  EXPECT_EQ(m.ambiguous, (Ambiguous{false, false, false}));
}

TEST(Match, NothingKnownMatchesNothing) {
  const Matches m = matched({identity(CKO_PRIVATE_KEY, 'a', {1})}, {});
  EXPECT_EQ(m.known, Known{kNone});
  EXPECT_EQ(m.ambiguous, Ambiguous{false});
}

TEST(Match, OneKeyWithoutMaterialMatchesByItsLook) {
  const Identity key = identity(CKO_SECRET_KEY, 'k', {});
  EXPECT_EQ(matched({key}, {key}).known, Known{0});
}

TEST(Match, EveryPartOfTheLookCounts) {
  const Identity key = identity(CKO_SECRET_KEY, 'k', {1, 2, 3});
  std::vector<Identity> others(7, key);
  others[0].label = {'x'};
  others[1].id = {2};
  others[2].material = {9, 9, 9};
  others[3].isPrivate = false;
  others[4].token = false;
  others[5].type = CKK_AES;
  others[6].objectClass = CKO_DATA;
  for (const Identity& other : others) EXPECT_EQ(matched({key}, {other}).known, Known{kNone});
}

TEST(Match, EqualPublicObjectsArePairedOneByOne) {
  const Identity data = identity(CKO_DATA, 'd', {5});
  EXPECT_EQ(matched({data, data, data}, {data, data}).known, (Known{0, 1, kNone}));
  EXPECT_EQ(matched({data}, {data, data}).known, Known{0});
  EXPECT_EQ(matched({data, data, data}, {data, data}).ambiguous, (Ambiguous{false, false, false}));
}

TEST(Match, CopiesOfOneKeyArePairedWhereTheirNumberIsTheSame) {
  const Identity key = identity(CKO_PRIVATE_KEY, 'k', {7});
  EXPECT_EQ(matched({key, key}, {key, key}).known, (Known{0, 1}));
  const Matches m = matched({key, key}, {key});
  EXPECT_EQ(m.known, (Known{kNone, kNone}));
  EXPECT_EQ(m.ambiguous, (Ambiguous{true, true}));
}

TEST(Match, KeysThatLookAlikeWithoutMaterialAreAmbiguous) {
  const Identity key = identity(CKO_SECRET_KEY, 'k', {});
  const Identity other = identity(CKO_SECRET_KEY, 'o', {});
  const Matches m = matched({key, other, key}, {key, other, key});
  EXPECT_EQ(m.known, (Known{kNone, 1, kNone}));
  EXPECT_EQ(m.ambiguous, (Ambiguous{true, false, true}));
  EXPECT_EQ(matched({key}, {key, key}).ambiguous, Ambiguous{true});
}

TEST(Match, ARelabelledKeyIsFoundByItsMaterialAlone) {
  const Identity before = identity(CKO_PRIVATE_KEY, 'a', {1, 1});
  Identity after = identity(CKO_PRIVATE_KEY, 'z', {1, 1});
  after.id = {9};
  EXPECT_EQ(matched({after}, {identity(CKO_PRIVATE_KEY, 'a', {2, 2}), before}).known, Known{1});
}

TEST(Match, MaterialAloneIsNotEnoughWhereSeveralHaveIt) {
  const Identity one = identity(CKO_CERTIFICATE, 'a', {1});
  const Identity two = identity(CKO_CERTIFICATE, 'b', {1});
  const Identity changed = identity(CKO_CERTIFICATE, 'c', {1});
  EXPECT_EQ(matched({changed}, {one, two}).known, Known{kNone});
  EXPECT_EQ(matched({one, two}, {changed}).known, (Known{kNone, kNone}));
}

TEST(Match, WhatIsTakenExactlyIsNotAMaterialCandidate) {
  const Identity one = identity(CKO_CERTIFICATE, 'a', {1});
  const Identity two = identity(CKO_CERTIFICATE, 'b', {1});
  const Identity changed = identity(CKO_CERTIFICATE, 'c', {1});
  EXPECT_EQ(matched({one, changed}, {one, two}).known, (Known{0, 1}));
}

TEST(Match, ACheckValueAloneIsTooLittle) {
  EXPECT_EQ(matched({identity(CKO_SECRET_KEY, 'z', {1, 2, 3})}, {identity(CKO_SECRET_KEY, 'a', {1, 2, 3})}).known,
            Known{kNone});
}

TEST(Plan, CopiesWhatIsMissingFromTheFirstThatHoldsIt) {
  const std::vector<SyncObject> objects = {
      {true, true, bit(0)},            // there
      {true, false, bit(2) | bit(5)},  // missing
      {true, false, 0},                // missing, and nobody to ask
      {false, false, bit(0)},          // destroyed
      {false, true, bit(0)},           // destroyed, still there: nothing is removed
      {true, false, bit(31)},          // missing
  };
  EXPECT_EQ(plan(objects), (std::vector<CopyAction>{{1, 2}, {5, 31}}));
  EXPECT_TRUE(plan({}).empty());
}

}  // namespace
}  // namespace p11ha::ha
