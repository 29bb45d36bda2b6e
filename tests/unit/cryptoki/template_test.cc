#include "cryptoki/template.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>

namespace p11ha::cryptoki {
namespace {

std::span<const std::uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string_view text(const Template& from, CK_ATTRIBUTE_TYPE type) {
  const auto value = from.find(type);
  return value ? std::string_view(reinterpret_cast<const char*>(value->data()), value->size()) : "(none)";
}

TEST(Template, HoldsEachKindOfValue) {
  Template t;
  EXPECT_EQ(t.data(), nullptr);
  EXPECT_TRUE(t.empty());
  t.addBool(CKA_TOKEN, true);
  t.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  t.addText(CKA_LABEL, "key");
  const CK_ULONG mechanisms[] = {CKM_AES_KEY_WRAP_PAD, CKM_AES_GCM};
  t.addUlongs(CKA_ALLOWED_MECHANISMS, mechanisms);
  t.addBytes(CKA_ID, {});

  ASSERT_EQ(t.count(), 5U);
  EXPECT_EQ(t.boolean(CKA_TOKEN), true);
  EXPECT_EQ(t.ulong(CKA_CLASS), CKO_SECRET_KEY);
  EXPECT_EQ(text(t, CKA_LABEL), "key");
  EXPECT_EQ(t.ulongs(CKA_ALLOWED_MECHANISMS), std::vector<CK_ULONG>(std::begin(mechanisms), std::end(mechanisms)));
  EXPECT_EQ(t.find(CKA_ID)->size(), 0U);
  EXPECT_EQ(t.find(CKA_SUBJECT), std::nullopt);
  EXPECT_EQ(t.ulong(CKA_TOKEN), std::nullopt) << "not the length of a CK_ULONG";
  EXPECT_EQ(t.boolean(CKA_CLASS), std::nullopt) << "not the length of a CK_BBOOL";
  EXPECT_EQ(t.ulongs(CKA_LABEL), std::nullopt);
  EXPECT_EQ(t.ulong(CKA_PRIVATE), std::nullopt);

  const CK_ATTRIBUTE* label = &t.data()[2];
  EXPECT_EQ(label->type, CK_ATTRIBUTE_TYPE{CKA_LABEL});
  EXPECT_EQ(label->ulValueLen, 3U);
  EXPECT_EQ(std::memcmp(label->pValue, "key", 3), 0);
}

TEST(Template, SetReplacesInPlaceAndDropsWhatIsDouble) {
  Template t;
  t.addBool(CKA_SENSITIVE, false);
  t.addText(CKA_LABEL, "a");
  t.addBool(CKA_SENSITIVE, true);
  EXPECT_EQ(t.occurrences(CKA_SENSITIVE), 2U);
  EXPECT_EQ(t.boolean(CKA_SENSITIVE), false) << "the first";

  t.setBool(CKA_SENSITIVE, true);
  ASSERT_EQ(t.count(), 2U);
  EXPECT_EQ(t.data()[0].type, CK_ATTRIBUTE_TYPE{CKA_SENSITIVE});
  EXPECT_EQ(t.boolean(CKA_SENSITIVE), true);
  EXPECT_EQ(text(t, CKA_LABEL), "a");

  t.setUlong(CKA_VALUE_LEN, 32);
  t.setBytes(CKA_LABEL, bytes("longer"));
  EXPECT_EQ(t.count(), 3U);
  EXPECT_EQ(t.ulong(CKA_VALUE_LEN), 32U);
  EXPECT_EQ(text(t, CKA_LABEL), "longer");
}

TEST(Template, EraseDropsEveryOccurrence) {
  Template t;
  t.addBool(CKA_SENSITIVE, false);
  t.addText(CKA_LABEL, "a");
  t.addBool(CKA_SENSITIVE, true);
  EXPECT_TRUE(t.erase(CKA_SENSITIVE));
  EXPECT_FALSE(t.erase(CKA_SENSITIVE));
  ASSERT_EQ(t.count(), 1U);
  EXPECT_EQ(text(t, CKA_LABEL), "a");
  t.clear();
  EXPECT_TRUE(t.empty());
}

TEST(Template, CopiesAreDeepAndMovesKeepAddresses) {
  Template inner;
  inner.addBool(CKA_PRIVATE, true);
  inner.addText(CKA_LABEL, "inner");
  Template t;
  t.addText(CKA_LABEL, "outer");
  t.addTemplate(CKA_UNWRAP_TEMPLATE, inner);

  Template copy = t;
  EXPECT_TRUE(copy == t);
  EXPECT_NE(copy.data()[0].pValue, t.data()[0].pValue);
  EXPECT_NE(copy.data()[1].pValue, t.data()[1].pValue);
  copy.setBytes(CKA_LABEL, bytes("other"));
  EXPECT_FALSE(copy == t);
  EXPECT_EQ(text(t, CKA_LABEL), "outer");

  CK_ATTRIBUTE* const data = t.data();
  void* const nestedData = data[1].pValue;
  const Template moved = std::move(t);
  EXPECT_EQ(moved.data(), data);
  EXPECT_EQ(moved.data()[1].pValue, nestedData);
  ASSERT_NE(moved.nested(CKA_UNWRAP_TEMPLATE), nullptr);
  EXPECT_EQ(text(*moved.nested(CKA_UNWRAP_TEMPLATE), CKA_LABEL), "inner");
  EXPECT_EQ(moved.nested(CKA_LABEL), nullptr);

  copy = moved;
  EXPECT_TRUE(copy == moved);
  copy = *&copy;
  EXPECT_TRUE(copy == moved);
}

TEST(Template, AppendsAnotherOrItself) {
  Template a;
  a.addText(CKA_LABEL, "a");
  Template b;
  b.addText(CKA_ID, "b");
  b.addText(CKA_LABEL, "c");
  a.append(b);
  EXPECT_EQ(a.count(), 3U);
  a.appendFrom(b, CKA_ID);
  EXPECT_EQ(a.occurrences(CKA_ID), 2U);
  a.append(a);
  EXPECT_EQ(a.count(), 8U);
  EXPECT_EQ(a.occurrences(CKA_LABEL), 4U);
}

// Attributes in memory of exactly their size, so that a sanitizer sees every byte read beyond.
class Application {
 public:
  CK_ATTRIBUTE attribute(CK_ATTRIBUTE_TYPE type, std::string_view value) {
    auto& block = blocks_.emplace_back(std::make_unique<std::uint8_t[]>(value.size()));
    std::memcpy(block.get(), value.data(), value.size());
    return {type, block.get(), value.size()};
  }

 private:
  std::vector<std::unique_ptr<std::uint8_t[]>> blocks_;
};

TEST(Template, CopyOfOutlivesTheApplication) {
  Template copy;
  {
    Application app;
    CK_ATTRIBUTE deepest[] = {app.attribute(CKA_LABEL, "deepest")};
    CK_ATTRIBUTE inner[] = {app.attribute(CKA_ID, "inner"), {CKA_WRAP_TEMPLATE, deepest, sizeof deepest}};
    CK_ATTRIBUTE outer[] = {app.attribute(CKA_LABEL, "outer"),
                            {CKA_UNWRAP_TEMPLATE, inner, sizeof inner},
                            {CKA_ID, nullptr, 0},
                            {CKA_WRAP_TEMPLATE, nullptr, 0},
                            app.attribute(CKA_LABEL, "twice"),
                            app.attribute(CKA_NSS_URL, "its number has CKF_ARRAY_ATTRIBUTE, and yet it is flat")};
    auto result = Template::copyOf(outer, std::size(outer));
    ASSERT_TRUE(result.ok());
    copy = std::move(result).value();
  }
  EXPECT_EQ(copy.count(), 6U);
  EXPECT_EQ(text(copy, CKA_LABEL), "outer");
  EXPECT_EQ(copy.occurrences(CKA_LABEL), 2U);
  const Template* inner = copy.nested(CKA_UNWRAP_TEMPLATE);
  ASSERT_NE(inner, nullptr);
  EXPECT_EQ(text(*inner, CKA_ID), "inner");
  ASSERT_NE(inner->nested(CKA_WRAP_TEMPLATE), nullptr);
  EXPECT_EQ(text(*inner->nested(CKA_WRAP_TEMPLATE), CKA_LABEL), "deepest");
  EXPECT_TRUE(copy.nested(CKA_WRAP_TEMPLATE)->empty());
  EXPECT_EQ(copy.data()[3].ulValueLen, 0U);
  EXPECT_EQ(copy.find(CKA_NSS_URL)->size(), 54U);
}

TEST(Template, CopyOfRefusesNonsense) {
  const auto error = [](const CK_ATTRIBUTE* attributes, CK_ULONG count) {
    const auto result = Template::copyOf(attributes, count);
    return result.ok() ? CKR_OK : result.error();
  };
  EXPECT_EQ(error(nullptr, 0), CKR_OK);
  EXPECT_EQ(error(nullptr, 1), CKR_ARGUMENTS_BAD);

  std::uint8_t byte = 0;
  CK_ATTRIBUTE attribute{CKA_LABEL, nullptr, 1};
  EXPECT_EQ(error(&attribute, 1), CKR_ATTRIBUTE_VALUE_INVALID) << "a length and no value";
  attribute = {CKA_LABEL, &byte, CK_UNAVAILABLE_INFORMATION};
  EXPECT_EQ(error(&attribute, 1), CKR_ATTRIBUTE_VALUE_INVALID);
  attribute = {CKA_LABEL, &byte, kMaxAttributeValue + 1};
  EXPECT_EQ(error(&attribute, 1), CKR_ATTRIBUTE_VALUE_INVALID);
  attribute = {CKA_UNWRAP_TEMPLATE, &byte, 1};
  EXPECT_EQ(error(&attribute, 1), CKR_ATTRIBUTE_VALUE_INVALID) << "no multiple of an attribute";
  attribute = {CKA_LABEL, &byte, 1};
  EXPECT_EQ(error(&attribute, kMaxTemplateAttributes + 1), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(error(&attribute, ~0UL), CKR_ARGUMENTS_BAD);

  const std::vector<CK_ATTRIBUTE> many(kMaxTemplateAttributes, attribute);
  EXPECT_EQ(error(many.data(), many.size()), CKR_OK);
}

TEST(Template, CopyOfBoundsDepthAndTheSumOfAliases) {
  std::uint8_t byte = 0;
  CK_ATTRIBUTE levels[kMaxTemplateDepth + 1];
  levels[0] = {CKA_LABEL, &byte, 1};
  for (std::size_t i = 1; i < std::size(levels); ++i) {
    levels[i] = {CKA_WRAP_TEMPLATE, &levels[i - 1], sizeof(CK_ATTRIBUTE)};
  }
  EXPECT_TRUE(Template::copyOf(&levels[kMaxTemplateDepth - 1], 1).ok());
  EXPECT_EQ(Template::copyOf(&levels[kMaxTemplateDepth], 1).error(), CKR_ATTRIBUTE_VALUE_INVALID);

  // 32 x 32 x 32 x 32 attributes in a kilobyte of memory.
  std::vector<CK_ATTRIBUTE> fan[kMaxTemplateDepth];
  fan[0].assign(32, {CKA_LABEL, &byte, 1});
  for (std::size_t i = 1; i < std::size(fan); ++i) {
    fan[i].assign(32, {CKA_WRAP_TEMPLATE, fan[i - 1].data(), 32 * sizeof(CK_ATTRIBUTE)});
  }
  EXPECT_EQ(Template::copyOf(fan[kMaxTemplateDepth - 1].data(), 32).error(), CKR_ATTRIBUTE_VALUE_INVALID);

  CK_ATTRIBUTE self = {CKA_WRAP_TEMPLATE, nullptr, sizeof(CK_ATTRIBUTE)};
  self.pValue = &self;
  EXPECT_EQ(Template::copyOf(&self, 1).error(), CKR_ATTRIBUTE_VALUE_INVALID);

  std::vector<std::uint8_t> large(kMaxAttributeValue);
  const std::vector<CK_ATTRIBUTE> aliases(kMaxTemplateValues / kMaxAttributeValue + 1,
                                          {CKA_VALUE, large.data(), large.size()});
  EXPECT_EQ(Template::copyOf(aliases.data(), aliases.size()).error(), CKR_ATTRIBUTE_VALUE_INVALID);
}

TEST(Template, EqualityIsOfTypesValuesAndOrder) {
  Template a;
  a.addBool(CKA_TOKEN, true);
  a.addBool(CKA_PRIVATE, true);
  Template b;
  b.addBool(CKA_PRIVATE, true);
  b.addBool(CKA_TOKEN, true);
  EXPECT_FALSE(a == b);
  Template nested;
  nested.addTemplate(CKA_WRAP_TEMPLATE, a);
  Template other;
  other.addTemplate(CKA_WRAP_TEMPLATE, b);
  EXPECT_FALSE(nested == other);
  EXPECT_TRUE(nested == Template(nested));
}

}  // namespace
}  // namespace p11ha::cryptoki
