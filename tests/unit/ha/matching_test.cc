#include "ha/matching.h"

#include <gtest/gtest.h>

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
  return match(entriesOf(entries), known, [](std::size_t, std::size_t) { return true; });
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

TEST(Match, OfSeveralOfOneMaterialOnlyThoseArePairedThatMayHaveBeenRenamed) {
  const Identity a = identity(CKO_PUBLIC_KEY, 'a', {7});
  const Identity b = identity(CKO_PUBLIC_KEY, 'b', {7});
  const Identity c = identity(CKO_PUBLIC_KEY, 'c', {7});
  const auto never = [](std::size_t, std::size_t) { return false; };
  EXPECT_EQ(match(entriesOf({a}), {b}, never).known, Known{kNone});
  const auto aIsC = [](std::size_t entry, std::size_t known) { return entry == 0 && known == 1; };
  EXPECT_EQ(match(entriesOf({a}), {b, c}, aIsC).known, Known{1});
}

TEST(Match, ACheckValueAloneIsTooLittle) {
  EXPECT_EQ(matched({identity(CKO_SECRET_KEY, 'z', {1, 2, 3})}, {identity(CKO_SECRET_KEY, 'a', {1, 2, 3})}).known,
            Known{kNone});
}

// Nobody has tried yet whether it is their own: it makes a claim for one, and tells nothing of several.
TEST(Match, LentMaterialOfSeveralIsAmbiguous) {
  Identity key = identity(CKO_PRIVATE_KEY, 'k', {7});
  Identity lent = key;
  lent.lent = true;
  EXPECT_EQ(matched({lent}, {key}).known, Known{0});
  EXPECT_EQ(matched({key}, {lent}).known, Known{0});
  const std::vector<std::pair<std::vector<Identity>, std::vector<Identity>>> cases = {
      {{lent, lent}, {lent, lent}}, {{key, lent}, {key, key}}, {{key, key}, {lent, key}}};
  for (const auto& [entries, known] : cases) {
    const Matches m = matched(entries, known);
    EXPECT_EQ(m.known, (Known{kNone, kNone}));
    EXPECT_EQ(m.ambiguous, (Ambiguous{true, true}));
    EXPECT_EQ(m.knownAmbiguous, (Ambiguous{true, true}));
  }
}

TEST(Match, TheKnownOnesThatSomethingLooksLikeAreAmbiguousToo) {
  const Identity key = identity(CKO_SECRET_KEY, 'k', {});
  const Identity other = identity(CKO_SECRET_KEY, 'o', {});
  EXPECT_EQ(matched({key, other, key}, {other, key}).knownAmbiguous, (Ambiguous{false, true}));
  EXPECT_EQ(matched({key}, {key, other, key}).knownAmbiguous, (Ambiguous{true, false, true}));
  EXPECT_EQ(matched({other}, {key, key}).knownAmbiguous, (Ambiguous{false, false})) << "they are not there";
  EXPECT_EQ(matched({other}, {other}).knownAmbiguous, Ambiguous{false});
}

TEST(Match, OneNameIsEnoughForOneWithoutMaterial) {
  const Identity bare = identity(CKO_PRIVATE_KEY, 'k', {});
  const Identity key = identity(CKO_PRIVATE_KEY, 'k', {7});
  EXPECT_EQ(matched({bare}, {key}).known, Known{0});
  EXPECT_EQ(matched({key}, {bare}).known, Known{0});
  EXPECT_EQ(matched({bare}, {key}).knownAmbiguous, Ambiguous{false});
}

TEST(Match, ANameOfSeveralTellsNothingOfOneWithoutMaterial) {
  const Identity bare = identity(CKO_PRIVATE_KEY, 'k', {});
  const Identity seven = identity(CKO_PRIVATE_KEY, 'k', {7});
  const Identity eight = identity(CKO_PRIVATE_KEY, 'k', {8});

  Matches m = matched({bare}, {seven, eight});
  EXPECT_EQ(m.known, Known{kNone});
  EXPECT_EQ(m.ambiguous, Ambiguous{true});
  EXPECT_EQ(m.knownAmbiguous, (Ambiguous{true, true}));

  m = matched({seven, eight}, {bare});
  EXPECT_EQ(m.known, (Known{kNone, kNone}));
  EXPECT_EQ(m.ambiguous, (Ambiguous{true, true}));
  EXPECT_EQ(m.knownAmbiguous, Ambiguous{true});

  m = matched({bare, seven}, {seven, eight});
  EXPECT_EQ(m.known, (Known{1, 0})) << "what its material tells is not in doubt; the one left is claimed";
}

TEST(Match, WhatTellsOfItselfIsNotAmbiguousBesideWhatDoesNot) {
  const Identity bare = identity(CKO_PRIVATE_KEY, 'k', {});
  const Identity eight = identity(CKO_PRIVATE_KEY, 'k', {8});
  const Identity nine = identity(CKO_PRIVATE_KEY, 'k', {9});
  // The known one tells: of the entries, the one that tells is certainly another.
  const Matches m = matched({bare, nine}, {eight});
  EXPECT_EQ(m.known, (Known{kNone, kNone}));
  EXPECT_EQ(m.ambiguous, (Ambiguous{true, false}));
  EXPECT_EQ(m.knownAmbiguous, Ambiguous{true});
  // The same the other way round.
  const Matches reverse = matched({eight}, {bare, nine});
  EXPECT_EQ(reverse.ambiguous, Ambiguous{true});
  EXPECT_EQ(reverse.knownAmbiguous, (Ambiguous{true, false}));
}

TEST(Match, TwoOfOneNameThatTellAreTwo) {
  const Matches m = matched({identity(CKO_PRIVATE_KEY, 'k', {8})}, {identity(CKO_PRIVATE_KEY, 'k', {9})});
  EXPECT_EQ(m.known, Known{kNone});
  EXPECT_EQ(m.ambiguous, Ambiguous{false});
  EXPECT_EQ(m.knownAmbiguous, Ambiguous{false});
}

}  // namespace
}  // namespace p11ha::ha
