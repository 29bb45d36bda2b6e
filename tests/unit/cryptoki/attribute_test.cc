#include "cryptoki/attribute.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "cryptoki/attribute_reader.h"

namespace p11ha::cryptoki {
namespace {

constexpr CK_OBJECT_CLASS kCopied[] = {CKO_DATA,        CKO_CERTIFICATE, CKO_PUBLIC_KEY,
                                       CKO_PRIVATE_KEY, CKO_SECRET_KEY,  CKO_DOMAIN_PARAMETERS};
constexpr CK_KEY_TYPE kPairs[] = {CKK_RSA,        CKK_DSA,           CKK_DH,       CKK_X9_42_DH, CKK_EC,
                                  CKK_EC_EDWARDS, CKK_EC_MONTGOMERY, CKK_GOSTR3410};

bool in(std::span<const CK_ATTRIBUTE_TYPE> types, CK_ATTRIBUTE_TYPE type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

TEST(Attribute, EveryRowIsFoundByItsTypeAndNamed) {
  ASSERT_GT(allAttributes().size(), 100U);
  std::set<std::string_view> names;
  for (const AttributeInfo& row : allAttributes()) {
    EXPECT_EQ(attributeInfo(row.type), &row);
    EXPECT_EQ(attributeName(row.type), row.name);
    EXPECT_EQ(row.name.substr(0, 4), "CKA_");
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(isTemplateAttribute(row.type), row.kind == AttributeKind::Template) << row.name;
    if (row.part != CopyPart::Material) {
      EXPECT_EQ(row.classes != 0, row.part == CopyPart::Given || row.part == CopyPart::Last) << row.name;
    }
  }
  EXPECT_EQ(attributeInfo(CKA_VENDOR_DEFINED | 1), nullptr);
  EXPECT_EQ(attributeName(CKA_VENDOR_DEFINED | 1), "unknown attribute");
  EXPECT_FALSE(isTemplateAttribute(CKA_ALLOWED_MECHANISMS));
  EXPECT_FALSE(isTemplateAttribute(CKA_NSS_URL)) << "has CKF_ARRAY_ATTRIBUTE by accident";
}

TEST(Attribute, NamesClassesAndKeyTypes) {
  EXPECT_EQ(className(CKO_PRIVATE_KEY), "CKO_PRIVATE_KEY");
  EXPECT_EQ(className(CKO_OTP_KEY), "CKO_OTP_KEY");
  EXPECT_EQ(className(CKO_VENDOR_DEFINED | 3), "unknown object class");
  EXPECT_EQ(keyTypeName(CKK_ECDSA), "CKK_EC");
  EXPECT_EQ(keyTypeName(CKK_EC_EDWARDS), "CKK_EC_EDWARDS");
  EXPECT_EQ(keyTypeName(CKK_VENDOR_DEFINED | 3), "unknown key type");
}

TEST(Attribute, CopiesBeginWithTheClassAndEndWithModifiable) {
  for (const CK_OBJECT_CLASS objectClass : kCopied) {
    const auto types = copyAttributes(objectClass);
    ASSERT_GT(types.size(), 5U) << className(objectClass);
    EXPECT_EQ(types.front(), CK_ATTRIBUTE_TYPE{CKA_CLASS});
    EXPECT_EQ(types.back(), CK_ATTRIBUTE_TYPE{CKA_MODIFIABLE});
    EXPECT_EQ(types[types.size() - 2], CK_ATTRIBUTE_TYPE{CKA_DESTROYABLE});
    EXPECT_EQ(types[types.size() - 3], CK_ATTRIBUTE_TYPE{CKA_COPYABLE});
    EXPECT_EQ(std::set<CK_ATTRIBUTE_TYPE>(types.begin(), types.end()).size(), types.size());
    for (const CK_ATTRIBUTE_TYPE derived :
         {CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_KEY_GEN_MECHANISM, CKA_CHECK_VALUE,
          CKA_MODULUS_BITS, CKA_UNIQUE_ID, CKA_VALUE_LEN, CKA_TRUSTED}) {
      EXPECT_FALSE(in(types, derived)) << attributeName(derived);
    }
  }
  for (const CK_OBJECT_CLASS objectClass : {CKO_MECHANISM, CKO_HW_FEATURE, CKO_PROFILE, CKO_OTP_KEY, ~0UL}) {
    EXPECT_TRUE(copyAttributes(objectClass).empty());
  }
}

TEST(Attribute, PublicObjectsAreCopiedWithTheirMaterialAndKeysWithout) {
  EXPECT_TRUE(in(copyAttributes(CKO_DATA), CKA_VALUE));
  EXPECT_TRUE(in(copyAttributes(CKO_CERTIFICATE), CKA_VALUE));
  for (const CK_KEY_TYPE type : kPairs) {
    for (const CK_ATTRIBUTE_TYPE part : fingerprintAttributes(CKO_PUBLIC_KEY, type)) {
      EXPECT_TRUE(in(copyAttributes(CKO_PUBLIC_KEY), part)) << keyTypeName(type) << ' ' << attributeName(part);
    }
    const auto material = valueAttributes(CKO_PRIVATE_KEY, type);
    ASSERT_FALSE(material.empty()) << keyTypeName(type);
    for (const CK_ATTRIBUTE_TYPE part : material) {
      EXPECT_FALSE(in(copyAttributes(CKO_PRIVATE_KEY), part)) << keyTypeName(type) << ' ' << attributeName(part);
      EXPECT_EQ(attributeInfo(part)->part, CopyPart::Material) << attributeName(part);
    }
  }
  EXPECT_FALSE(in(copyAttributes(CKO_SECRET_KEY), CKA_VALUE));
  EXPECT_EQ(valueAttributes(CKO_SECRET_KEY, CKK_AES).size(), 1U);
  EXPECT_TRUE(valueAttributes(CKO_PRIVATE_KEY, CKK_VENDOR_DEFINED).empty());
  EXPECT_TRUE(valueAttributes(CKO_PUBLIC_KEY, CKK_RSA).empty());
  EXPECT_TRUE(fingerprintAttributes(CKO_PUBLIC_KEY, CKK_VENDOR_DEFINED).empty());
  EXPECT_TRUE(fingerprintAttributes(CKO_MECHANISM, 0).empty());
  EXPECT_EQ(fingerprintAttributes(CKO_PRIVATE_KEY, CKK_RSA).size(), 2U);
  EXPECT_EQ(fingerprintAttributes(CKO_PRIVATE_KEY, CKK_EC).front(), CK_ATTRIBUTE_TYPE{CKA_PUBLIC_KEY_INFO});
  EXPECT_EQ(fingerprintAttributes(CKO_SECRET_KEY, CKK_AES).front(), CK_ATTRIBUTE_TYPE{CKA_CHECK_VALUE});
}

// A token with one object, answering C_GetAttributeValue as the standard has it.
class OneObject : public Member {
 public:
  const std::string& serial() const override { return serial_; }
  CK_RV attach() override { return CKR_OK; }
  Outcome execute(const Call& call) override {
    ++calls;
    EXPECT_EQ(call.fn, Fn::GetAttributeValue);
    EXPECT_EQ(call.session(), 7U);
    EXPECT_EQ(call.get<CK_OBJECT_HANDLE>(1), 8U);
    std::span attributes(call.get<CK_ATTRIBUTE*>(2), call.get<CK_ULONG>(3));
    if (before) before(calls);
    if (outcome.rv != CKR_OK || outcome.fate != Fate::Answered) return outcome;
    for (const CK_ATTRIBUTE& attribute : attributes) {
      if (fails.contains(attribute.type)) return {CKR_GENERAL_ERROR, Fate::Answered};
    }
    return {answer(attributes, object), Fate::Answered};
  }

  Template object;
  std::set<CK_ATTRIBUTE_TYPE> sensitive;
  std::set<CK_ATTRIBUTE_TYPE> fails;
  std::map<CK_ATTRIBUTE_TYPE, CK_ULONG> lengths;  // told instead of the true ones
  Outcome outcome;
  std::function<void(int)> before;
  int calls = 0;

 private:
  CK_RV answer(std::span<CK_ATTRIBUTE> attributes, const Template& from) {
    CK_RV rv = CKR_OK;
    for (CK_ATTRIBUTE& attribute : attributes) {
      const auto value = from.find(attribute.type);
      if (sensitive.contains(attribute.type) || !value) {
        rv = value ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
        attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
        continue;
      }
      const CK_ULONG told = lengths.contains(attribute.type) ? lengths[attribute.type] : value->size();
      if (attribute.pValue == nullptr) {
        attribute.ulValueLen = told;
      } else if (attribute.ulValueLen < value->size()) {
        attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
        rv = CKR_BUFFER_TOO_SMALL;
      } else if (const Template* nested = from.nested(attribute.type)) {
        std::span inner(static_cast<CK_ATTRIBUTE*>(attribute.pValue), nested->count());
        for (std::size_t i = 0; i < inner.size(); ++i) inner[i].type = nested->data()[i].type;
        const CK_RV within = answer(inner, *nested);
        if (within != CKR_OK) rv = within;
        attribute.ulValueLen = value->size();
      } else {
        if (!value->empty()) std::memcpy(attribute.pValue, value->data(), value->size());
        attribute.ulValueLen = told;
      }
    }
    return rv;
  }

  std::string serial_ = "1";
};

constexpr CK_ATTRIBUTE_TYPE kAsked[] = {CKA_CLASS, CKA_LABEL, CKA_VALUE, CKA_UNWRAP_TEMPLATE, CKA_ID};

class Reader : public ::testing::Test {
 protected:
  Reader() {
    member.object.addUlong(CKA_CLASS, CKO_SECRET_KEY);
    member.object.addUlong(CKA_KEY_TYPE, CKK_AES);
    member.object.addBytes(CKA_LABEL, label);
    member.object.addBytes(CKA_VALUE, value);
    member.object.addBytes(CKA_ID, {});
  }
  Outcome read(std::span<const CK_ATTRIBUTE_TYPE> types = kAsked) { return readAttributes(member, 7, 8, types, out); }

  std::vector<std::uint8_t> label{'a', 'b', 'c'};
  std::vector<std::uint8_t> value = std::vector<std::uint8_t>(32, 5);
  OneObject member;
  Template out;
};

TEST_F(Reader, TakesTwoCallsAndLeavesOutWhatIsNotThere) {
  out.addBool(CKA_TOKEN, true);
  EXPECT_EQ(read().rv, CKR_OK);
  EXPECT_EQ(member.calls, 2);
  ASSERT_EQ(out.count(), 4U);
  EXPECT_EQ(out.ulong(CKA_CLASS), CKO_SECRET_KEY);
  EXPECT_EQ(out.find(CKA_LABEL)->size(), 3U);
  EXPECT_EQ(out.find(CKA_VALUE)->size(), 32U);
  EXPECT_EQ(out.find(CKA_ID)->size(), 0U);
}

TEST_F(Reader, TakesOneCallWhereAllLengthsAreKnown) {
  const CK_ATTRIBUTE_TYPE types[] = {CKA_CLASS, CKA_TOKEN, CKA_START_DATE};
  member.object.addBool(CKA_TOKEN, true);
  EXPECT_EQ(read(types).rv, CKR_OK);
  EXPECT_EQ(member.calls, 1);
  EXPECT_EQ(out.count(), 2U);
  EXPECT_EQ(out.ulong(CKA_CLASS), CKO_SECRET_KEY);
  EXPECT_EQ(out.boolean(CKA_TOKEN), true);
}

TEST_F(Reader, AsksForTheLengthWhereOneIsOfAnotherKindThanItSays) {
  const CK_ATTRIBUTE_TYPE types[] = {CKA_TOKEN};
  member.object.addBytes(CKA_TOKEN, {value.data(), 20});
  EXPECT_EQ(read(types).rv, CKR_OK);
  EXPECT_EQ(out.find(CKA_TOKEN)->size(), 20U);
}

TEST_F(Reader, LeavesOutWhatIsSensitive) {
  member.sensitive = {CKA_VALUE};
  EXPECT_EQ(read().rv, CKR_OK);
  EXPECT_FALSE(out.has(CKA_VALUE));
  EXPECT_TRUE(out.has(CKA_LABEL));

  const CK_ATTRIBUTE_TYPE hidden[] = {CKA_VALUE};
  EXPECT_EQ(read(hidden).rv, CKR_ATTRIBUTE_SENSITIVE);
  EXPECT_TRUE(out.empty());
  const CK_ATTRIBUTE_TYPE absent[] = {CKA_MODULUS};
  EXPECT_EQ(read(absent).rv, CKR_ATTRIBUTE_TYPE_INVALID);
  EXPECT_EQ(read({}).rv, CKR_OK);
}

TEST_F(Reader, ReadsNestedTemplatesToTheirDepth) {
  Template deepest;
  deepest.addBytes(CKA_LABEL, label);
  Template inner;
  inner.addBool(CKA_PRIVATE, true);
  inner.addTemplate(CKA_WRAP_TEMPLATE, deepest);
  inner.addTemplate(CKA_DERIVE_TEMPLATE, Template());
  member.object.addTemplate(CKA_UNWRAP_TEMPLATE, inner);
  EXPECT_EQ(read().rv, CKR_OK);
  EXPECT_EQ(member.calls, 4);
  ASSERT_NE(out.nested(CKA_UNWRAP_TEMPLATE), nullptr);
  EXPECT_TRUE(*out.nested(CKA_UNWRAP_TEMPLATE) == inner);
}

TEST_F(Reader, ReadsAgainWhenAValueGrew) {
  member.before = [this](int call) {
    if (call == 2) member.object.setBytes(CKA_LABEL, std::vector<std::uint8_t>(40, 'x'));
  };
  EXPECT_EQ(read().rv, CKR_OK);
  EXPECT_EQ(member.calls, 4);
  EXPECT_EQ(out.find(CKA_LABEL)->size(), 40U);
}

TEST_F(Reader, TakesAValueThatShrank) {
  member.before = [this](int call) {
    if (call == 2) member.object.setBytes(CKA_LABEL, {label.data(), 1});
  };
  EXPECT_EQ(read().rv, CKR_OK);
  EXPECT_EQ(member.calls, 2);
  EXPECT_EQ(out.find(CKA_LABEL)->size(), 1U);
}

TEST_F(Reader, GivesUpOnAValueThatGrowsForEver) {
  std::size_t size = 4;
  member.before = [&](int) { member.object.setBytes(CKA_LABEL, std::vector<std::uint8_t>(++size, 'x')); };
  EXPECT_EQ(read().rv, CKR_BUFFER_TOO_SMALL);
  EXPECT_TRUE(out.empty());
}

TEST_F(Reader, LeavesOutWhatBecameSensitiveMeanwhile) {
  member.before = [this](int call) {
    if (call == 2) member.sensitive = {CKA_VALUE};
  };
  EXPECT_EQ(read().rv, CKR_OK);
  EXPECT_FALSE(out.has(CKA_VALUE));
  EXPECT_TRUE(out.has(CKA_LABEL));
}

TEST_F(Reader, PassesOnWhatTheMemberAnswersAndItsFate) {
  member.outcome = {CKR_DEVICE_ERROR, Fate::Unknown};
  Outcome outcome = read();
  EXPECT_EQ(outcome.rv, CKR_DEVICE_ERROR);
  EXPECT_EQ(outcome.fate, Fate::Unknown);
  member.outcome = {CKR_OK, Fate::NotSent};
  outcome = read();
  EXPECT_EQ(outcome.fate, Fate::NotSent);
  EXPECT_EQ(member.calls, 2);
  member.outcome = {CKR_OBJECT_HANDLE_INVALID, Fate::Answered};
  EXPECT_EQ(read().rv, CKR_OBJECT_HANDLE_INVALID);
  EXPECT_TRUE(out.empty());
}

TEST_F(Reader, ReadsOneByOneWhereAnAttributeFailsTheWholeCall) {
  member.fails = {CKA_LABEL};
  EXPECT_EQ(read().rv, CKR_OK);
  EXPECT_FALSE(out.has(CKA_LABEL));
  EXPECT_TRUE(out.has(CKA_VALUE));
  EXPECT_TRUE(out.has(CKA_CLASS));

  member.outcome = {CKR_GENERAL_ERROR, Fate::Answered};
  EXPECT_EQ(read().rv, CKR_GENERAL_ERROR);
  EXPECT_TRUE(out.empty());

  member.outcome = {};
  member.before = [this](int call) {
    if (call % 3 == 0) member.outcome = {CKR_DEVICE_REMOVED, Fate::Unknown};
  };
  EXPECT_EQ(read().fate, Fate::Unknown);
  EXPECT_TRUE(out.empty());
}

TEST_F(Reader, TrustsNoAbsurdLength) {
  member.lengths[CKA_LABEL] = kMaxAttributeValue + 1;
  const CK_ATTRIBUTE_TYPE one[] = {CKA_LABEL};
  EXPECT_EQ(read(one).rv, CKR_GENERAL_ERROR);
  EXPECT_TRUE(out.empty());

  member.lengths.clear();
  member.before = [this](int call) { member.lengths[CKA_LABEL] = call % 2 == 0 ? 300 : 3; };
  member.calls = 0;
  EXPECT_EQ(read(one).rv, CKR_GENERAL_ERROR) << "more than the room it had";

  Template inner;
  inner.addBool(CKA_PRIVATE, true);
  member.object.addTemplate(CKA_UNWRAP_TEMPLATE, inner);
  const CK_ATTRIBUTE_TYPE nested[] = {CKA_UNWRAP_TEMPLATE};
  for (const CK_ULONG absurd : {CK_ULONG{25}, (kMaxTemplateAttributes + 1) * sizeof(CK_ATTRIBUTE)}) {
    member.before = [&](int) { member.lengths[CKA_UNWRAP_TEMPLATE] = absurd; };
    EXPECT_EQ(read(nested).rv, CKR_GENERAL_ERROR);
  }
}

TEST_F(Reader, ForCopyingLeavesOutEmptyValuesAndKeepsTheOrder) {
  member.object.addBool(CKA_MODIFIABLE, false);
  member.object.addBytes(CKA_ALLOWED_MECHANISMS, {});
  member.object.addTemplate(CKA_WRAP_TEMPLATE, Template());
  member.object.addBytes(CKA_CHECK_VALUE, label);
  EXPECT_EQ(readForCopy(member, 7, 8, CKO_SECRET_KEY, CopyValue::Without, out).rv, CKR_OK);
  std::vector<CK_ATTRIBUTE_TYPE> types;
  for (const CK_ATTRIBUTE& attribute : out.attributes()) types.push_back(attribute.type);
  EXPECT_EQ(types, (std::vector<CK_ATTRIBUTE_TYPE>{CKA_CLASS, CKA_KEY_TYPE, CKA_LABEL, CKA_MODIFIABLE}));

  EXPECT_EQ(readForCopy(member, 7, 8, CKO_SECRET_KEY, CopyValue::With, out).rv, CKR_OK);
  types.clear();
  for (const CK_ATTRIBUTE& attribute : out.attributes()) types.push_back(attribute.type);
  EXPECT_EQ(types, (std::vector<CK_ATTRIBUTE_TYPE>{CKA_CLASS, CKA_KEY_TYPE, CKA_LABEL, CKA_VALUE, CKA_MODIFIABLE}));

  member.sensitive = {CKA_VALUE};
  EXPECT_EQ(readForCopy(member, 7, 8, CKO_SECRET_KEY, CopyValue::With, out).rv, CKR_ATTRIBUTE_SENSITIVE);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(readForCopy(member, 7, 8, CKO_PRIVATE_KEY, CopyValue::With, out).rv, CKR_ATTRIBUTE_SENSITIVE)
      << "of a type not known as a pair's";
  member.outcome = {CKR_SESSION_HANDLE_INVALID, Fate::Answered};
  EXPECT_EQ(readForCopy(member, 7, 8, CKO_SECRET_KEY, CopyValue::Without, out).rv, CKR_SESSION_HANDLE_INVALID);
}

}  // namespace
}  // namespace p11ha::cryptoki
