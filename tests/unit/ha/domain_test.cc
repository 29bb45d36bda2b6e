// The pure parts of cloning domains: names, templates, and the choice of a way.
#include <gtest/gtest.h>

#include "ha/domain/choosing.h"
#include "ha/domain/key_template.h"

namespace p11ha::ha::domain {
namespace {

using cryptoki::Template;

constexpr Kind kSealedSecret{Seal::Sealed, CKO_SECRET_KEY, false};
constexpr Kind kOpenSecret{Seal::Open, CKO_SECRET_KEY, false};

Generation generation(std::uint32_t number, std::uint8_t random = 0) { return {number, {random}, false}; }
Generation afterRemoval(std::uint32_t number) { return {number, {}, true}; }

Holding holding(std::initializer_list<Generation> generations, const Kind& kind = kSealedSecret) {
  Holding held;
  for (const Generation& each : generations) held.keys.push_back({each, kind, 1});
  return held;
}

TEST(DomainName, ComesBackFromItsLabel) {
  const Generation made{7, {0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff}, false};
  for (const Kind& kind : kKinds) {
    EXPECT_EQ(parseLabel(labelOf(made, kind)), (DomainKeyName{made, kind}));
    EXPECT_EQ(parseLabel(labelOf(afterRemoval(8), kind)), (DomainKeyName{afterRemoval(8), kind}));
  }
  EXPECT_EQ(labelOf(made, kSealedSecret), "p11ha domain 7-00010203fcfdfeff sealed secret");
  EXPECT_EQ(labelOf(afterRemoval(8), {Seal::Open, CKO_PRIVATE_KEY, true}),
            "p11ha domain 8-0000000000000000 after-removal open private derive");
}

TEST(DomainName, IsNothingElse) {
  for (const char* label :
       {"", "p11ha domain ", "p11ha domain 7", "p11ha domain 7-0001020304050607", "p11ha domain 7-0001020304050607 ",
        "p11ha domain 7-000102030405060 sealed secret", "p11ha domain 7-000102030405060G sealed secret",
        "p11ha domain 7-0001020304050A07 sealed secret", "p11ha domain 07-0001020304050607 sealed secret",
        "p11ha domain -7-0001020304050607 sealed secret", "p11ha domain 99999999999-0001020304050607 sealed secret",
        "p11ha domain 7-0001020304050607 sealed", "p11ha domain 7-0001020304050607 sealed secret ",
        "p11ha domain 7-0001020304050607  sealed secret",
        "p11ha domain 7-0001020304050607 sealed secret derive derive"}) {
    EXPECT_EQ(parseLabel(label), std::nullopt) << label;
  }
}

TEST(DomainGeneration, IsNeverMadeTwice) {
  const auto first = makeGeneration(4, false);
  const auto second = makeGeneration(4, false);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->number, 5U);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(makeGeneration(0xFFFF'FFFFU, false), std::nullopt);
}

TEST(DomainTemplate, EndsWithModifiable) {
  for (const Kind& kind : kKinds) {
    const Template made = domainKeyTemplate(generation(1), kind, Lifetime::Token);
    EXPECT_EQ(made.attributes().back().type, CK_ATTRIBUTE_TYPE{CKA_MODIFIABLE});
    EXPECT_EQ(made.has(CKA_TRUSTED), kind.seal == Seal::Sealed);
    EXPECT_EQ(made.boolean(CKA_PRIVATE), kind.seal == Seal::Open);
  }
}

TEST(DomainTemplate, IsKnownAgainWhole) {
  for (const Kind& kind : kKinds) {
    const Template made = domainKeyTemplate(generation(1), kind, Lifetime::Token);
    for (const Kind& other : kKinds)
      EXPECT_EQ(isDomainKey(made, other), other == kind) << nameOf(kind) << nameOf(other);
    EXPECT_FALSE(isDomainKey(domainKeyTemplate(generation(1), kind, Lifetime::Session), kind));
    for (const CK_ATTRIBUTE& attribute : made.attributes()) {
      if (attribute.type == CKA_LABEL || attribute.type == CKA_ID) continue;
      Template less = made;
      less.erase(attribute.type);
      const bool needed = kind.seal == Seal::Sealed || attribute.type == CKA_PRIVATE || attribute.type == CKA_TOKEN ||
                          attribute.type == CKA_SENSITIVE || attribute.type == CKA_EXTRACTABLE;
      EXPECT_EQ(isDomainKey(less, kind), !needed) << std::hex << attribute.type;
      if (made.boolean(attribute.type)) {
        Template wrong = made;
        wrong.setBool(attribute.type, !*made.boolean(attribute.type));
        EXPECT_FALSE(isDomainKey(wrong, kind)) << std::hex << attribute.type;
      }
    }
  }
}

TEST(DomainTemplate, TemplatesWithinAreSets) {
  Template made = domainKeyTemplate(generation(1), kSealedSecret, Lifetime::Token);
  const Template& inner = *made.nested(CKA_UNWRAP_TEMPLATE);
  Template reversed;
  for (std::size_t i = inner.count(); i-- > 0;) reversed.appendFrom(inner, inner.attributes()[i].type);
  Template shuffled = made;
  shuffled.setTemplate(CKA_UNWRAP_TEMPLATE, reversed);
  EXPECT_TRUE(isDomainKey(shuffled, kSealedSecret));
  reversed.setBool(CKA_SENSITIVE, false);
  shuffled.setTemplate(CKA_UNWRAP_TEMPLATE, reversed);
  EXPECT_FALSE(isDomainKey(shuffled, kSealedSecret));
}

Template keyOf(CK_OBJECT_CLASS objectClass, bool sensitive, bool extractable, bool wantsTrusted,
               bool isPrivate = true) {
  Template key;
  key.addUlong(CKA_CLASS, objectClass);
  key.addBool(CKA_PRIVATE, isPrivate);
  key.addBool(CKA_SENSITIVE, sensitive);
  key.addBool(CKA_EXTRACTABLE, extractable);
  key.addBool(CKA_WRAP_WITH_TRUSTED, wantsTrusted);
  key.addBool(CKA_DERIVE, true);
  if (objectClass == CKO_SECRET_KEY) key.addUlong(CKA_VALUE_LEN, 16);
  return key;
}

TEST(DomainChoice, GoesByTheShapeOfTheKey) {
  using Way = Conveyance::Way;
  const auto sealed = conveyanceOf(keyOf(CKO_PRIVATE_KEY, true, true, true));
  EXPECT_EQ(sealed.way, Way::Domain);
  EXPECT_EQ(sealed.kind, (Kind{Seal::Sealed, CKO_PRIVATE_KEY, true}));
  const auto open = conveyanceOf(keyOf(CKO_SECRET_KEY, true, true, false));
  EXPECT_EQ(open.way, Way::Domain);
  EXPECT_EQ(open.kind, (Kind{Seal::Open, CKO_SECRET_KEY, true}));
  EXPECT_EQ(conveyanceOf(keyOf(CKO_SECRET_KEY, false, true, true)).kind.seal, Seal::Sealed);
  EXPECT_EQ(conveyanceOf(keyOf(CKO_SECRET_KEY, false, true, false)).way, Way::Read);
  EXPECT_EQ(conveyanceOf(keyOf(CKO_CERTIFICATE, false, false, false, false)).way, Way::Read);
  EXPECT_EQ(conveyanceOf(keyOf(CKO_PRIVATE_KEY, true, false, false)).reason, "it is not extractable");
  EXPECT_EQ(conveyanceOf(keyOf(CKO_PRIVATE_KEY, true, true, true, false)).way, Way::None);
  Template odd = keyOf(CKO_SECRET_KEY, true, true, true);
  odd.setUlong(CKA_VALUE_LEN, 20);
  EXPECT_EQ(conveyanceOf(odd).reason, "its length is no multiple of 8 bytes");
}

TEST(DomainChoice, TakesTheNewestGenerationThatBothHold) {
  const Holding members[] = {holding({generation(1), generation(2), generation(3)}),
                             holding({generation(2), generation(1), generation(4)})};
  EXPECT_EQ(chooseRoute(kSealedSecret, members, 0, 1), (Route{generation(2), {}, {}}));
  EXPECT_EQ(chooseRoute(kOpenSecret, members, 0, 1), std::nullopt);
}

TEST(DomainChoice, DoesNotMistakeGenerationsMadeApart) {
  const Holding members[] = {holding({generation(1, 1)}), holding({generation(1, 2)})};
  EXPECT_EQ(chooseRoute(kSealedSecret, members, 0, 1), std::nullopt);
}

TEST(DomainChoice, GoesThroughAThird) {
  const Holding members[] = {holding({generation(1)}), holding({generation(5)}),
                             holding({generation(2), generation(1)}), holding({generation(2)})};
  EXPECT_EQ(chooseRoute(kSealedSecret, members, 0, 3), (Route{generation(1), 2, generation(2)}));
  EXPECT_EQ(chooseRoute(kSealedSecret, members, 0, 1), std::nullopt);
}

TEST(DomainChoice, UsesNothingFromBeforeARemoval) {
  const Holding members[] = {holding({generation(1), afterRemoval(2)}), holding({generation(1), afterRemoval(2)}),
                             holding({generation(1)})};
  EXPECT_EQ(chooseRoute(kSealedSecret, members, 0, 1), (Route{afterRemoval(2), {}, {}}));
  // This one was away then, and shares only what the removed member has, too.
  EXPECT_EQ(chooseRoute(kSealedSecret, members, 0, 2), std::nullopt);
  // What it made now in the shape for that would reach nobody.
  EXPECT_TRUE(carries(kSealedSecret, members, 0));
  EXPECT_FALSE(carries(kSealedSecret, members, 2));
  EXPECT_FALSE(carries(kOpenSecret, members, 0));
}

TEST(DomainChoice, AnOpenKeyPutsNoOtherOutOfUse) {
  Holding member = holding({generation(1)});
  member.keys.push_back({afterRemoval(9), kOpenSecret, 2});
  const Holding members[] = {member, member};
  EXPECT_EQ(chooseRoute(kSealedSecret, members, 0, 1), (Route{generation(1), {}, {}}));
}

}  // namespace
}  // namespace p11ha::ha::domain
