// A group over a cloning domain: what was asked to be non-extractable is on every member, and is read as it was asked.
#include "tests/module/group_domain_fixture.h"

namespace p11ha::tests {
namespace {

TEST_F(GroupDomain, NonExtractableKeysAreOnEveryMember) {
  Pair rsa;
  Pair ec;
  CK_OBJECT_HANDLE aes = 0;
  ASSERT_EQ(generate(CKM_RSA_PKCS_KEY_PAIR_GEN, "rsa", rsa, false), CKR_OK);
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "ec", ec, false), CKR_OK);
  ASSERT_EQ(generateAes("aes", aes), CKR_OK);
  for (const char* label : {"rsa", "ec", "aes"}) EXPECT_EQ(onEach(sealed(label)), "1 1 1") << label;
  EXPECT_EQ(onEach({text(CKA_LABEL, "rsa")}), "2 2 2");
  for (const CK_OBJECT_HANDLE key : {rsa.privateKey, ec.privateKey, aes}) EXPECT_EQ(truth(key), "100");
  EXPECT_EQ(log().find("is on"), std::string::npos) << log();
  // On every member, in turn, and without the primary.
  for (int i = 0; i < 6; ++i) EXPECT_EQ(sign(ec.privateKey), CKR_OK);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_GE(asked(i, "C_Sign"), 1U) << i;
  fail(0);
  Bytes signature;
  EXPECT_EQ(sign(session, CKM_RSA_PKCS, rsa.privateKey, signature), CKR_OK);
  EXPECT_EQ(verify(session, CKM_RSA_PKCS, rsa.publicKey, signature), CKR_OK);
  EXPECT_EQ(sign(ec.privateKey), CKR_OK);
  for (const CK_OBJECT_HANDLE key : {rsa.privateKey, ec.privateKey, aes}) EXPECT_EQ(truth(key), "100");
}

TEST_F(GroupDomain, TheyComeBackToAMemberThatWasAway) {
  ASSERT_TRUE(lose(2));
  Pair ec;
  CK_OBJECT_HANDLE aes = 0;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "ec", ec, false), CKR_OK);
  ASSERT_EQ(generateAes("aes", aes), CKR_OK);
  EXPECT_EQ(onEach(sealed("ec")), "1 1 0");
  ASSERT_TRUE(recover(2));
  EXPECT_EQ(onEach(sealed("ec")), "1 1 1");
  EXPECT_EQ(onEach(sealed("aes")), "1 1 1");
  fail(0);
  fail(1);
  Bytes signature;
  EXPECT_EQ(sign(session, CKM_ECDSA, ec.privateKey, signature), CKR_OK);
  EXPECT_EQ(verify(session, CKM_ECDSA, ec.publicKey, signature), CKR_OK);
  EXPECT_EQ(truth(aes), "100");
}

/// So many that their source gives the next ones while the member takes the present one (Resync::takeAhead).
class ManyKeysComeBack : public GroupDomain, public testing::WithParamInterface<std::array<const char*, 2>> {};

TEST_P(ManyKeysComeBack, WhateverCallFailsAmongThem) {
  ASSERT_TRUE(lose(2));
  std::vector<Pair> pairs(6);
  std::vector<CK_OBJECT_HANDLE> secrets(6);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const std::string number = std::to_string(i);
    ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "pair " + number, pairs[i], i % 2 == 0), CKR_OK);
    ASSERT_EQ(generateAes("secret " + number, secrets[i], {flag(CKA_SENSITIVE), flag(CKA_EXTRACTABLE, i % 2 == 0)}),
              CKR_OK);
  }
  const auto& [where, rule] = GetParam();
  if (*rule != '\0') tell("fail " + member(*where == 's' ? 0 : 2) + " " + rule + " times 1");
  ASSERT_TRUE(recover(2));
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_EQ(onEach({text(CKA_LABEL, "pair " + std::to_string(i))}), "2 2 2");
    EXPECT_EQ(onEach({text(CKA_LABEL, "secret " + std::to_string(i))}), "1 1 1");
  }
  EXPECT_EQ(logged("not in sync"), 0U) << log();
  fail(0);
  fail(1);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    Bytes signature;
    EXPECT_EQ(sign(session, CKM_ECDSA, pairs[i].privateKey, signature), CKR_OK);
    EXPECT_EQ(verify(session, CKM_ECDSA, pairs[i].publicKey, signature), CKR_OK);
    EXPECT_EQ(truth(secrets[i]), i % 2 == 0 ? "110" : "100");
  }
}

INSTANTIATE_TEST_SUITE_P(GroupDomain, ManyKeysComeBack,
                         testing::Values(std::array{"", ""}, std::array{"source", "C_WrapKey CKR_GENERAL_ERROR"},
                                         std::array{"source", "C_GetAttributeValue CKR_FUNCTION_FAILED"},
                                         std::array{"target", "C_UnwrapKey CKR_GENERAL_ERROR"},
                                         std::array{"target", "C_CreateObject CKR_DEVICE_MEMORY"},
                                         std::array{"target", "C_UnwrapKey CKR_DEVICE_REMOVED"}));

TEST_F(GroupDomain, SearchesFindWhatIsRead) {
  Pair fixed;
  Pair open;
  CK_OBJECT_HANDLE aes = 0;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "fixed", fixed, false), CKR_OK);
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "open", open, true), CKR_OK);
  ASSERT_EQ(generateAes("aes", aes), CKR_OK);
  EXPECT_EQ(find({flag(CKA_EXTRACTABLE, true)}), std::vector{open.privateKey});
  EXPECT_EQ(find({flag(CKA_EXTRACTABLE, false), ofClass(privateKeys)}), std::vector{fixed.privateKey});
  EXPECT_EQ(find({flag(CKA_EXTRACTABLE, false)}).size(), 2U);
  EXPECT_TRUE(find({flag(CKA_WRAP_WITH_TRUSTED, true)}).empty());
  EXPECT_EQ(find({flag(CKA_WRAP_WITH_TRUSTED, false), flag(CKA_EXTRACTABLE, false)}).size(), 2U);
  EXPECT_TRUE(find({flag(CKA_SENSITIVE, false), flag(CKA_EXTRACTABLE, false)}).empty());
  EXPECT_EQ(find({}).size(), 5U);
  EXPECT_EQ(find({flag(CKA_EXTRACTABLE, true)}), std::vector{open.privateKey});
}

TEST_F(GroupDomain, DomainKeysAreNowhere) {
  EXPECT_EQ(onEach({text(CKA_ID, "p11ha domain key")}), "8 8 8");
  EXPECT_TRUE(find({}).empty());
  EXPECT_TRUE(find({text(CKA_ID, "p11ha domain key")}).empty());
  EXPECT_TRUE(find({flag(CKA_TRUSTED)}).empty());
  ASSERT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_TRUE(find({}).empty());
  ASSERT_EQ(client.login(session), CKR_OK);
  EXPECT_TRUE(find({}).empty());
  fail(0);
  EXPECT_TRUE(find({}).empty());
  heal(0);
  ASSERT_TRUE(awaitLog("succeeded for member"));
  EXPECT_TRUE(find({}).empty());
}

TEST_F(GroupDomain, NobodyWrapsThem) {
  CK_OBJECT_HANDLE aes = 0;
  CK_OBJECT_HANDLE with = 0;
  Pair ec;
  ASSERT_EQ(generateAes("aes", aes), CKR_OK);
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "ec", ec, false), CKR_OK);
  ASSERT_EQ(generateAes("with", with, {flag(CKA_WRAP)}), CKR_OK);
  EXPECT_EQ(wrap(with, aes), CKR_KEY_UNEXTRACTABLE);
  EXPECT_EQ(wrap(with, ec.privateKey), CKR_KEY_UNEXTRACTABLE);
  EXPECT_EQ(wrap(with, with), CKR_KEY_UNEXTRACTABLE);
  CK_OBJECT_HANDLE open = 0;
  ASSERT_EQ(generateAes("open", open, {flag(CKA_EXTRACTABLE)}), CKR_OK);
  EXPECT_EQ(wrap(with, open), CKR_OK);
}

TEST_F(GroupDomain, NoWayLeadsBackToExtractable) {
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateAes("key", key), CKR_OK);
  EXPECT_EQ(set(key, {flag(CKA_EXTRACTABLE, true)}), CKR_ATTRIBUTE_READ_ONLY);
  EXPECT_EQ(set(key, {flag(CKA_SENSITIVE, false)}), CKR_ATTRIBUTE_READ_ONLY);
  EXPECT_EQ(set(key, {flag(CKA_EXTRACTABLE, false), text(CKA_LABEL, "named")}), CKR_OK);
  EXPECT_EQ(truth(key), "100");
  CK_OBJECT_HANDLE copy = 0;
  Template widened{flag(CKA_EXTRACTABLE, true)};
  EXPECT_EQ(client.f->C_CopyObject(session, key, widened.data(), widened.size(), &copy), CKR_ATTRIBUTE_READ_ONLY);
  Template same{text(CKA_LABEL, "named"), flag(CKA_EXTRACTABLE, false)};
  ASSERT_EQ(client.f->C_CopyObject(session, key, same.data(), same.size(), &copy), CKR_OK);
  EXPECT_EQ(truth(copy), "100");
  EXPECT_EQ(onEach(sealed("named")), "2 2 2");
}

// SoftHSM lets nobody set WRAP_WITH_TRUSTED later: the key becomes what was asked on every member.
TEST_F(GroupDomain, ExtractableKeysAreNarrowed) {
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateAes("key", key, {flag(CKA_EXTRACTABLE), flag(CKA_SENSITIVE)}), CKR_OK);
  EXPECT_EQ(truth(key), "110");
  CK_OBJECT_HANDLE copy = 0;
  Template narrowed{flag(CKA_EXTRACTABLE, false)};
  ASSERT_EQ(client.f->C_CopyObject(session, key, narrowed.data(), narrowed.size(), &copy), CKR_OK);
  EXPECT_EQ(truth(copy), "100");
  EXPECT_EQ(truth(key), "110");
  ASSERT_EQ(set(key, {flag(CKA_EXTRACTABLE, false)}), CKR_OK);
  EXPECT_EQ(truth(key), "100");
  EXPECT_EQ(onEach({text(CKA_LABEL, "key"), flag(CKA_EXTRACTABLE, false)}), "2 2 2");
  EXPECT_EQ(set(key, {flag(CKA_EXTRACTABLE, true)}), CKR_ATTRIBUTE_READ_ONLY);
}

TEST_F(GroupDomain, KeysThatAreGivenTravelToo) {
  ASSERT_TRUE(lose(2));
  CK_OBJECT_CLASS object = CKO_SECRET_KEY;
  CK_KEY_TYPE type = CKK_AES;
  Bytes value(32, 5);
  const auto given = [&](const std::string& label) {
    return Template{{CKA_CLASS, &object, sizeof object},
                    {CKA_KEY_TYPE, &type, sizeof type},
                    flag(CKA_TOKEN),
                    flag(CKA_WRAP),
                    flag(CKA_UNWRAP),
                    flag(CKA_EXTRACTABLE, false),
                    text(CKA_LABEL, label)};
  };
  Template created = given("created");
  created.push_back({CKA_VALUE, value.data(), value.size()});
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(client.f->C_CreateObject(session, created.data(), created.size(), &key), CKR_OK);
  EXPECT_EQ(truth(key), "100");
  CK_OBJECT_HANDLE open = 0;
  ASSERT_EQ(generateAes("open", open, {flag(CKA_EXTRACTABLE)}), CKR_OK);
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  Bytes wrapped(100);
  CK_ULONG size = wrapped.size();
  ASSERT_EQ(client.f->C_WrapKey(session, &mechanism, key, open, wrapped.data(), &size), CKR_OK);
  Template unwrapped = given("unwrapped");
  ASSERT_EQ(
      client.f->C_UnwrapKey(session, &mechanism, key, wrapped.data(), size, unwrapped.data(), unwrapped.size(), &key),
      CKR_OK);
  EXPECT_EQ(truth(key), "100");
  EXPECT_EQ(onEach(sealed("created")), "1 1 0");
  EXPECT_EQ(onEach(sealed("unwrapped")), "1 1 0");
  ASSERT_TRUE(recover(2));
  EXPECT_EQ(onEach(sealed("created")), "1 1 1");
  EXPECT_EQ(onEach(sealed("unwrapped")), "1 1 1");
  EXPECT_EQ(onEach({text(CKA_LABEL, "open")}), "1 1 1");
}

TEST_F(GroupDomain, WhatCannotTravelIsMadeAsItWasAsked) {
  CK_OBJECT_HANDLE shown = 0;
  ASSERT_EQ(generateAes("public", shown, {flag(CKA_PRIVATE, false), flag(CKA_EXTRACTABLE, false)}), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, "public")}), "1 0 0");
  EXPECT_EQ(onEach({text(CKA_LABEL, "public"), flag(CKA_EXTRACTABLE, false)}), "1 0 0");
  EXPECT_EQ(truth(shown), "000");
  EXPECT_EQ(logged("is on 1 of 3 members"), 1U) << log();
  // SoftHSM wraps no Ed25519 key.
  CK_MECHANISM mechanism{CKM_EC_EDWARDS_KEY_PAIR_GEN, nullptr, 0};
  CK_BYTE ed25519[] = {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'};
  Template publicKey{flag(CKA_TOKEN), {CKA_EC_PARAMS, ed25519, sizeof ed25519}, text(CKA_LABEL, "ed")};
  Template privateKey{flag(CKA_TOKEN), flag(CKA_SIGN), text(CKA_LABEL, "ed")};
  Pair pair;
  const CK_RV rv = client.f->C_GenerateKeyPair(session, &mechanism, publicKey.data(), publicKey.size(),
                                               privateKey.data(), privateKey.size(), &pair.publicKey, &pair.privateKey);
  if (rv == CKR_MECHANISM_INVALID) return;  // not every SoftHSM is built with it
  ASSERT_EQ(rv, CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, "ed"), ofClass(privateKeys)}), "1 0 0");
  EXPECT_EQ(onEach({text(CKA_LABEL, "ed"), flag(CKA_EXTRACTABLE, false)}), "1 0 0");
  EXPECT_EQ(logged("is on 1 of 3 members"), 2U) << log();
}

TEST_F(GroupDomain, SessionKeysTravelToo) {
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateAes("session", key, {}), CKR_OK);
  Pair pair;
  CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
  Template publicKey{{CKA_EC_PARAMS, p256, sizeof p256}, flag(CKA_VERIFY), text(CKA_LABEL, "passing")};
  Template privateKey{flag(CKA_SIGN), text(CKA_LABEL, "passing")};
  ASSERT_EQ(client.f->C_GenerateKeyPair(session, &mechanism, publicKey.data(), publicKey.size(), privateKey.data(),
                                        privateKey.size(), &pair.publicKey, &pair.privateKey),
            CKR_OK);
  EXPECT_EQ(onEach(sealed("passing")), "1 1 1");
  EXPECT_EQ(truth(pair.privateKey), "100");
  EXPECT_EQ(find({text(CKA_LABEL, "passing")}).size(), 2U);
  fail(0);
  EXPECT_EQ(sign(pair.privateKey), CKR_OK);
}

TEST_F(GroupDomain, AnotherProcessReadsTheSame) {
  Pair ec;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "ec", ec, false), CKR_OK);
  const Ran seen =
      runCommandLine("pkcs11-tool --module " + kGroupModule + " --login --pin " + store.pin() + " --list-objects 2>&1");
  EXPECT_NE(seen.text.find("Access:     sensitive"), std::string::npos) << seen.text;
  EXPECT_EQ(countOf(seen.text, "Object;"), 2U) << seen.text;
  EXPECT_EQ(seen.text.find(", extractable"), std::string::npos) << seen.text;
  EXPECT_EQ(seen.text.find("wrap with trusted"), std::string::npos) << seen.text;
}

class MemberSlotsDomain : public GroupDomain {
 protected:
  MemberSlotsDomain() {
    std::ifstream in(file());
    std::string written{std::istreambuf_iterator<char>(in), {}};
    const std::string only = "HAOnly = 1";
    written.replace(written.find(only), only.size(), "HAOnly = 0");
    configure(written);
  }
};

TEST_F(MemberSlotsDomain, ShowTheSameTruth) {
  // The members' slots come first.
  session = client.open(3);
  ASSERT_EQ(client.login(session), CKR_OK);
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateAes("key", key, {flag(CKA_WRAP)}), CKR_OK);
  EXPECT_EQ(truth(key), "100");
  for (const std::string& serial : store.serials()) {
    const CK_SLOT_ID slot = client.slotOf(serial);
    session = client.open(slot);
    // In the first one the fixture has logged in.
    ASSERT_EQ(client.login(session), slot == 0 ? CKR_USER_ALREADY_LOGGED_IN : CKR_OK);
    const auto all = find({});
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(find({flag(CKA_EXTRACTABLE, false)}), all);
    EXPECT_TRUE(find({flag(CKA_EXTRACTABLE, true)}).empty());
    EXPECT_EQ(truth(all.front()), "100");
    EXPECT_EQ(wrap(all.front(), all.front()), CKR_KEY_UNEXTRACTABLE);
  }
}

}  // namespace
}  // namespace p11ha::tests
