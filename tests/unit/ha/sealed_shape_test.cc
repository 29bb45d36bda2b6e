#include "ha/sealed_shape.h"

#include <gtest/gtest.h>

namespace p11ha::ha {
namespace {

using cryptoki::Template;
using domain::Seal;

Template booleans(std::initializer_list<std::pair<CK_ATTRIBUTE_TYPE, bool>> values) {
  Template made;
  for (const auto& [type, value] : values) made.addBool(type, value);
  return made;
}

TEST(SealedShape, IsAllThreeTogether) {
  for (unsigned bits = 0; bits < 8; ++bits) {
    KeyNature key{CKO_SECRET_KEY, true, (bits & 1U) != 0, (bits & 2U) != 0, (bits & 4U) != 0, false, 0};
    EXPECT_EQ(key.sealed(), bits == 7) << bits;
    key.objectClass = CKO_PUBLIC_KEY;
    EXPECT_FALSE(key.sealed());
  }
}

TEST(SealedShape, IsReadAsNonExtractable) {
  Template answered = booleans({{CKA_SENSITIVE, true}, {CKA_EXTRACTABLE, true}, {CKA_WRAP_WITH_TRUSTED, true}});
  EXPECT_TRUE(wouldReadOtherwise(answered.attributes(), {}));
  tellSealed({answered.data(), answered.count()}, {});
  EXPECT_EQ(answered, booleans({{CKA_SENSITIVE, true}, {CKA_EXTRACTABLE, false}, {CKA_WRAP_WITH_TRUSTED, false}}));
  EXPECT_FALSE(wouldReadOtherwise(answered.attributes(), {}));
}

TEST(SealedShape, IsReadAsItsRecordSays) {
  notes::Truth truth;
  truth.notSensitive = truth.wrapWithTrusted = true;
  Template answered = booleans({{CKA_SENSITIVE, true}, {CKA_EXTRACTABLE, true}, {CKA_WRAP_WITH_TRUSTED, true}});
  EXPECT_TRUE(wouldReadOtherwise(answered.attributes().first(1), truth));
  EXPECT_FALSE(wouldReadOtherwise(answered.attributes().first(1), {}));
  tellSealed({answered.data(), answered.count()}, truth);
  EXPECT_EQ(answered, booleans({{CKA_SENSITIVE, false}, {CKA_EXTRACTABLE, false}, {CKA_WRAP_WITH_TRUSTED, true}}));
}

TEST(SealedShape, IsNotReadWhereNoValueCame) {
  CK_BBOOL value = CK_TRUE;
  CK_ATTRIBUTE answered[] = {{CKA_EXTRACTABLE, nullptr, sizeof value},
                             {CKA_WRAP_WITH_TRUSTED, &value, CK_UNAVAILABLE_INFORMATION},
                             {CKA_EXTRACTABLE, &value, 0},
                             {CKA_SENSITIVE, &value, sizeof value}};
  EXPECT_FALSE(wouldReadOtherwise(answered, {}));
  tellSealed(answered, {});
  EXPECT_EQ(value, CK_TRUE);
}

TEST(SealedShape, IsOfPrivateKeysThatAreNotToBeExtractable) {
  EXPECT_EQ(kindOfNew({}, CKO_PRIVATE_KEY), (domain::Kind{Seal::Sealed, CKO_PRIVATE_KEY, false}));
  EXPECT_EQ(kindOfNew(booleans({{CKA_EXTRACTABLE, false}, {CKA_PRIVATE, true}, {CKA_DERIVE, true}}), CKO_SECRET_KEY),
            (domain::Kind{Seal::Sealed, CKO_SECRET_KEY, true}));
  EXPECT_FALSE(kindOfNew({}, CKO_PUBLIC_KEY));
  EXPECT_FALSE(kindOfNew({}, CKO_DOMAIN_PARAMETERS));
  EXPECT_FALSE(kindOfNew(booleans({{CKA_EXTRACTABLE, true}}), CKO_PRIVATE_KEY));
  EXPECT_FALSE(kindOfNew(booleans({{CKA_PRIVATE, false}}), CKO_PRIVATE_KEY));
}

TEST(SealedShape, IsNotOfWhatATemplateSaysWrongly) {
  EXPECT_FALSE(kindOfNew(booleans({{CKA_EXTRACTABLE, false}, {CKA_EXTRACTABLE, false}}), CKO_PRIVATE_KEY));
  EXPECT_FALSE(kindOfNew(booleans({{CKA_SENSITIVE, false}, {CKA_SENSITIVE, true}}), CKO_PRIVATE_KEY));
  Template odd;
  odd.addUlong(CKA_EXTRACTABLE, 0);
  EXPECT_FALSE(kindOfNew(odd, CKO_PRIVATE_KEY));
}

TEST(SealedShape, IsNotOfLengthsThatWrappingWouldChange) {
  Template length;
  length.addUlong(CKA_VALUE_LEN, 20);
  EXPECT_FALSE(kindOfNew(length, CKO_SECRET_KEY));
  length.setUlong(CKA_VALUE_LEN, 24);
  EXPECT_TRUE(kindOfNew(length, CKO_SECRET_KEY));
  Template value;
  value.addBytes(CKA_VALUE, std::vector<std::uint8_t>(20));
  EXPECT_FALSE(kindOfNew(value, CKO_SECRET_KEY));
  EXPECT_TRUE(kindOfNew(value, CKO_PRIVATE_KEY));
}

TEST(SealedShape, ReplacesWhatWasAskedAndLeavesTheRestInOrder) {
  const Template made = sealedTemplate(booleans({{CKA_TOKEN, true},
                                                 {CKA_EXTRACTABLE, false},
                                                 {CKA_SENSITIVE, false},
                                                 {CKA_SIGN, true},
                                                 {CKA_MODIFIABLE, false}}));
  EXPECT_EQ(made, booleans({{CKA_PRIVATE, true},
                            {CKA_SENSITIVE, true},
                            {CKA_EXTRACTABLE, true},
                            {CKA_WRAP_WITH_TRUSTED, true},
                            {CKA_TOKEN, true},
                            {CKA_SIGN, true},
                            {CKA_MODIFIABLE, false}}));
}

TEST(SealedChanges, LeadNowhereBack) {
  EXPECT_EQ(changesOfSealed(booleans({{CKA_EXTRACTABLE, true}}), {}).error(), CKR_ATTRIBUTE_READ_ONLY);
  const auto same = changesOfSealed(
      booleans({{CKA_SIGN, true}, {CKA_EXTRACTABLE, false}, {CKA_WRAP_WITH_TRUSTED, false}, {CKA_SENSITIVE, false}}),
      {});
  ASSERT_TRUE(same);
  // What remains of SENSITIVE the member refuses.
  EXPECT_EQ(
      *same,
      booleans({{CKA_SIGN, true}, {CKA_EXTRACTABLE, true}, {CKA_WRAP_WITH_TRUSTED, true}, {CKA_SENSITIVE, false}}));
}

TEST(SealedChanges, NarrowAnExtractableKey) {
  const KeyNature open{CKO_SECRET_KEY, true, false, true, false, true, 32};
  const Template asked = booleans({{CKA_EXTRACTABLE, false}, {CKA_SIGN, true}});
  EXPECT_EQ(kindOfNarrowed(asked, open), (domain::Kind{Seal::Sealed, CKO_SECRET_KEY, true}));
  EXPECT_EQ(narrowingChanges(asked),
            booleans({{CKA_SENSITIVE, true}, {CKA_WRAP_WITH_TRUSTED, true}, {CKA_SIGN, true}}));
  EXPECT_FALSE(kindOfNarrowed(booleans({{CKA_SIGN, true}}), open));
  KeyNature other = open;
  other.isPrivate = false;
  EXPECT_FALSE(kindOfNarrowed(asked, other));
  other = open;
  other.extractable = false;
  EXPECT_FALSE(kindOfNarrowed(asked, other));
  other = open;
  other.length = 20;
  EXPECT_FALSE(kindOfNarrowed(asked, other));
  other = open;
  other.sensitive = true;
  EXPECT_TRUE(kindOfNarrowed(asked, other));
  EXPECT_FALSE(kindOfNarrowed(booleans({{CKA_EXTRACTABLE, false}, {CKA_SENSITIVE, false}}), other));
}

TEST(SealedChanges, LeaveToTheRecordWhatMembersHaveAlready) {
  notes::Truth truth;
  truth.notSensitive = true;
  EXPECT_EQ(*changesOfSealed(booleans({{CKA_SENSITIVE, true}, {CKA_SIGN, true}}), truth), booleans({{CKA_SIGN, true}}));
  EXPECT_EQ(*changesOfSealed(booleans({{CKA_SENSITIVE, true}}), truth), booleans({{CKA_EXTRACTABLE, true}}));
}

}  // namespace
}  // namespace p11ha::ha
