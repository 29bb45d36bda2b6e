// What a key's record is made from, and how it is read and searched for.
#include "ha/attribute_truth.h"

#include <gtest/gtest.h>

namespace p11ha::ha {
namespace {

using cryptoki::Template;
using notes::Truth;

const Truth kGenerated{true, true, true, false, CKM_AES_KEY_GEN};

Template asking(std::initializer_list<std::pair<CK_ATTRIBUTE_TYPE, bool>> values) {
  Template made;
  for (const auto& [type, value] : values) made.addBool(type, value);
  return made;
}

TEST(AttributeTruth, IsToldInPlaceOfWhatAMemberAnswered) {
  Template answered = asking({{CKA_LOCAL, false}, {CKA_ALWAYS_SENSITIVE, false}, {CKA_NEVER_EXTRACTABLE, false}});
  answered.addUlong(CKA_KEY_GEN_MECHANISM, CK_UNAVAILABLE_INFORMATION);
  answered.addBool(CKA_SIGN, false);
  EXPECT_TRUE(namesRecorded(answered.attributes()));
  EXPECT_EQ(truthIn(answered.attributes()), Truth{});
  tellRecorded({answered.data(), answered.count()}, kGenerated);
  EXPECT_EQ(truthIn(answered.attributes()), kGenerated);
  EXPECT_EQ(answered.boolean(CKA_SIGN), false);
  EXPECT_FALSE(namesRecorded(asking({{CKA_SIGN, true}, {CKA_SENSITIVE, true}}).attributes()));
}

TEST(AttributeTruth, IsNotToldWhereNoValueCame) {
  CK_BBOOL value = CK_FALSE;
  CK_ATTRIBUTE answered[] = {{CKA_LOCAL, nullptr, sizeof value},
                             {CKA_NEVER_EXTRACTABLE, &value, CK_UNAVAILABLE_INFORMATION},
                             {CKA_ALWAYS_SENSITIVE, &value, 0},
                             {CKA_KEY_GEN_MECHANISM, &value, sizeof value}};
  EXPECT_EQ(truthIn(answered), Truth{});
  tellRecorded(answered, kGenerated);
  EXPECT_EQ(value, CK_FALSE);
}

TEST(AttributeTruth, OfAGeneratedKeyIsWhatItsMakerSays) {
  const Template open = asking({{CKA_SENSITIVE, false}, {CKA_EXTRACTABLE, true}});
  const Truth made{true, false, false, false, CKM_AES_KEY_GEN};
  EXPECT_EQ(truthOfGenerated(made, open, nullptr), made);
}

TEST(AttributeTruth, OfASealedKeyIsWhatWasAsked) {
  const Truth made{true, true, false, false, CKM_AES_KEY_GEN};
  const Template shaped = asking({{CKA_SENSITIVE, true}, {CKA_EXTRACTABLE, true}, {CKA_WRAP_WITH_TRUSTED, true}});
  const Template plain;
  EXPECT_EQ(truthOfGenerated(made, shaped, &plain), kGenerated);
  const Template readable = asking({{CKA_SENSITIVE, false}});
  EXPECT_EQ(truthOfGenerated(made, shaped, &readable), (Truth{true, false, true, false, CKM_AES_KEY_GEN, true, false}));
  const Template trusted = asking({{CKA_WRAP_WITH_TRUSTED, true}});
  EXPECT_EQ(truthOfGenerated(made, shaped, &trusted), (Truth{true, true, true, false, CKM_AES_KEY_GEN, false, true}));
  EXPECT_TRUE(truthOfGenerated(made, shaped, nullptr).asShaped) << "the application asked for it";
}

TEST(AttributeTruth, OfADerivedKeyIsNoBetterThanItsBase) {
  for (unsigned bits = 0; bits < 16; ++bits) {
    const Truth base{true, (bits & 1U) != 0, (bits & 2U) != 0, false, CKM_AES_KEY_GEN};
    const bool sensitive = (bits & 4U) != 0;
    const bool extractable = (bits & 8U) != 0;
    const Truth derived = truthOfDerived(base, sensitive, extractable);
    EXPECT_FALSE(derived.local);
    EXPECT_EQ(derived.keyGenMechanism, CK_UNAVAILABLE_INFORMATION);
    EXPECT_EQ(derived.alwaysSensitive, base.alwaysSensitive && sensitive) << bits;
    EXPECT_EQ(derived.neverExtractable, base.neverExtractable && !extractable) << bits;
  }
}

TEST(AttributeTruth, InCommonIsTheStricterReading) {
  EXPECT_EQ(inCommon(kGenerated, kGenerated), kGenerated);
  EXPECT_EQ(inCommon(kGenerated, {}), Truth{});
}

TEST(TruthSearch, LooksForTheShapeInPlaceOfWhatIsNamed) {
  const TruthSearch search =
      truthSearch(asking({{CKA_TOKEN, true}, {CKA_EXTRACTABLE, false}, {CKA_LOCAL, true}, {CKA_SIGN, true}}));
  EXPECT_TRUE(search.namesShape);
  EXPECT_TRUE(search.namesRecorded);
  EXPECT_EQ(search.apart, asking({{CKA_TOKEN, true}, {CKA_EXTRACTABLE, false}, {CKA_SIGN, true}}));
  EXPECT_EQ(search.sealed, asking({{CKA_SENSITIVE, true},
                                   {CKA_EXTRACTABLE, true},
                                   {CKA_WRAP_WITH_TRUSTED, true},
                                   {CKA_TOKEN, true},
                                   {CKA_SIGN, true}}));
  EXPECT_FALSE(truthSearch(asking({{CKA_TOKEN, true}})).needed());
}

TEST(TruthSearch, AdmitsSealedKeysByWhatIsReadOfThem) {
  const auto admits = [](std::initializer_list<std::pair<CK_ATTRIBUTE_TYPE, bool>> query, const Truth& truth) {
    return truthSearch(asking(query)).admits(CKO_SECRET_KEY, truth, true, false);
  };
  EXPECT_TRUE(admits({{CKA_EXTRACTABLE, false}, {CKA_WRAP_WITH_TRUSTED, false}, {CKA_SENSITIVE, true}}, {}));
  EXPECT_FALSE(admits({{CKA_EXTRACTABLE, true}}, {}));
  EXPECT_FALSE(admits({{CKA_WRAP_WITH_TRUSTED, true}}, {}));
  EXPECT_FALSE(admits({{CKA_SENSITIVE, false}}, {}));
  Truth other;
  other.notSensitive = other.wrapWithTrusted = true;
  EXPECT_TRUE(admits({{CKA_SENSITIVE, false}, {CKA_WRAP_WITH_TRUSTED, true}, {CKA_EXTRACTABLE, false}}, other));
  Truth shaped;
  shaped.asShaped = true;
  EXPECT_TRUE(admits({{CKA_SENSITIVE, true}, {CKA_WRAP_WITH_TRUSTED, true}, {CKA_EXTRACTABLE, true}}, shaped));
}

TEST(TruthSearch, AdmitsByTheRecord) {
  const auto admits = [](CK_OBJECT_CLASS objectClass, CK_ATTRIBUTE_TYPE type, bool value) {
    return truthSearch(asking({{type, value}, {CKA_EXTRACTABLE, true}})).admits(objectClass, kGenerated, false, false);
  };
  EXPECT_TRUE(admits(CKO_PRIVATE_KEY, CKA_NEVER_EXTRACTABLE, true));
  EXPECT_FALSE(admits(CKO_PRIVATE_KEY, CKA_NEVER_EXTRACTABLE, false));
  EXPECT_TRUE(admits(CKO_PUBLIC_KEY, CKA_LOCAL, true));
  EXPECT_FALSE(admits(CKO_PUBLIC_KEY, CKA_ALWAYS_SENSITIVE, true)) << "it has no such attribute";
  Template mechanism;
  mechanism.addUlong(CKA_KEY_GEN_MECHANISM, CKM_AES_KEY_GEN);
  EXPECT_TRUE(truthSearch(mechanism).admits(CKO_SECRET_KEY, kGenerated, false, false));
  EXPECT_FALSE(truthSearch(mechanism).admits(CKO_SECRET_KEY, {}, false, false));
  EXPECT_FALSE(truthSearch(mechanism).admits(CKO_DOMAIN_PARAMETERS, kGenerated, false, false));
}

Truth ofLength(CK_ULONG length) {
  Truth truth;
  truth.valueLength = length;
  return truth;
}

TEST(AttributeTruth, OfALengthIsToldWhereItIsKnown) {
  Template answered;
  answered.addUlong(CKA_VALUE_LEN, 0);
  tellRecorded({answered.data(), answered.count()}, Truth{});
  EXPECT_EQ(answered.ulong(CKA_VALUE_LEN), 0U);
  tellRecorded({answered.data(), answered.count()}, ofLength(32));
  EXPECT_EQ(answered.ulong(CKA_VALUE_LEN), 32U);
  tellRecorded({answered.data(), answered.count()}, Truth{});
  EXPECT_EQ(answered.ulong(CKA_VALUE_LEN), 32U) << "what the member says";
  EXPECT_EQ(inCommon(ofLength(32), ofLength(0)), ofLength(32)) << "a clone has none";
  EXPECT_EQ(inCommon(ofLength(32), ofLength(16)), ofLength(0));
}

TEST(TruthSearch, GoesByTheLengthOfTheRecordAndElseByTheMembers) {
  Template query = asking({{CKA_TOKEN, true}});
  query.addUlong(CKA_VALUE_LEN, 32);
  const TruthSearch search = truthSearch(query);
  EXPECT_TRUE(search.namesRecorded);
  EXPECT_EQ(search.apart, asking({{CKA_TOKEN, true}}));
  EXPECT_EQ(search.length.ulong(CKA_VALUE_LEN), 32U);
  EXPECT_EQ(search.length.count(), 1U);
  for (const bool isSealed : {false, true}) {
    EXPECT_TRUE(search.admits(CKO_SECRET_KEY, ofLength(32), isSealed, false));
    EXPECT_FALSE(search.admits(CKO_SECRET_KEY, ofLength(16), isSealed, true));
    EXPECT_TRUE(search.admits(CKO_SECRET_KEY, {}, isSealed, true));
    EXPECT_FALSE(search.admits(CKO_SECRET_KEY, {}, isSealed, false));
  }
}

}  // namespace
}  // namespace p11ha::ha
