// All members are lost and come back: what the application holds is what it was.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

/// Parametrised by the number of members.
class GroupOutage : public WorkingGroup, public testing::WithParamInterface<std::size_t> {
 protected:
  void SetUp() override {
    std::string list = store.serial(0);
    for (std::size_t i = 1; i < GetParam(); ++i) list += ", " + store.serial(i);
    configure(configuration(group("00", "demo", "1000", list), "   HAOnly = 1;\n", theModule()));
    WorkingGroup::SetUp();
  }

  CK_RV generateSecret(const std::string& label, const Template& more, CK_OBJECT_HANDLE& key) const {
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    Template wanted{flag(CKA_TOKEN),        flag(CKA_PRIVATE),   flag(CKA_SENSITIVE),
                    text(CKA_LABEL, label), text(CKA_ID, label), {CKA_VALUE_LEN, &aesLength, sizeof aesLength}};
    wanted.insert(wanted.end(), more.begin(), more.end());
    return client.f->C_GenerateKey(session, &mechanism, wanted.data(), wanted.size(), &key);
  }
  CK_RV encrypt(CK_OBJECT_HANDLE key, Bytes& out) const {
    CK_MECHANISM mechanism{CKM_AES_ECB, nullptr, 0};
    if (const CK_RV rv = client.f->C_EncryptInit(session, &mechanism, key); rv != CKR_OK) return rv;
    CK_BYTE plain[16] = {7};
    out.resize(16);
    CK_ULONG length = out.size();
    return client.f->C_Encrypt(session, plain, sizeof plain, out.data(), &length);
  }
  CK_RV wrap(CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key) const {
    CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
    Bytes wrapped(64);
    CK_ULONG length = wrapped.size();
    return client.f->C_WrapKey(session, &mechanism, with, key, wrapped.data(), &length);
  }
  /// Every member says that it failed, until nobody is left; `meanwhile`, all come back.
  void outage(const std::function<void()>& meanwhile = [] {}) const {
    tell("fail any * CKR_DEVICE_REMOVED");
    await([&] { return client.random(session) == CKR_DEVICE_ERROR && logged("all members gone offline.") != 0; },
          "all members lost");
    meanwhile();
    tell("heal");
    for (std::size_t i = 0; i < GetParam(); ++i) awaitLog("succeeded for member: " + store.serial(i));
  }
};

TEST_P(GroupOutage, KeysAreKnownAgain) {
  CK_OBJECT_HANDLE aes = 0;
  CK_OBJECT_HANDLE fixed = 0;
  CK_OBJECT_HANDLE wrapping = 0;
  Pair pair;
  ASSERT_EQ(generateSecret("aes", {flag(CKA_ENCRYPT), flag(CKA_EXTRACTABLE)}, aes), CKR_OK);
  ASSERT_EQ(generateSecret("fixed", {flag(CKA_ENCRYPT), flag(CKA_EXTRACTABLE, false)}, fixed), CKR_OK);
  // Nothing that it may do shows which key it is.
  ASSERT_EQ(generateSecret("wrapping", {flag(CKA_WRAP), flag(CKA_EXTRACTABLE, false)}, wrapping), CKR_OK);
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "pair", pair), CKR_OK);
  Bytes aesBefore;
  Bytes fixedBefore;
  ASSERT_EQ(encrypt(aes, aesBefore), CKR_OK);
  ASSERT_EQ(encrypt(fixed, fixedBefore), CKR_OK);
  ASSERT_EQ(wrap(wrapping, aes), CKR_OK);

  outage();
  Bytes after;
  EXPECT_EQ(encrypt(aes, after), CKR_OK);
  EXPECT_EQ(after, aesBefore);
  EXPECT_EQ(encrypt(fixed, after), CKR_OK);
  EXPECT_EQ(after, fixedBefore);
  EXPECT_EQ(wrap(wrapping, aes), CKR_OK);
  EXPECT_EQ(sign(pair.privateKey), CKR_OK);
  EXPECT_EQ(logged("ambiguous"), 0U) << log();
  EXPECT_EQ(find({text(CKA_LABEL, "aes")}), std::vector{aes});
  EXPECT_EQ(find({text(CKA_LABEL, "wrapping")}), std::vector{wrapping});
}

TEST_P(GroupOutage, AKeyThatWasFoundIsKnownAgain) {
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateSecret("aes", {flag(CKA_ENCRYPT), flag(CKA_EXTRACTABLE)}, key), CKR_OK);
  Bytes before;
  ASSERT_EQ(encrypt(key, before), CKR_OK);
  ASSERT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  session = client.open(0);
  ASSERT_EQ(client.login(session), CKR_OK);
  const std::vector<CK_OBJECT_HANDLE> found = find({text(CKA_LABEL, "aes")});
  ASSERT_EQ(found.size(), 1U);
  outage();
  Bytes after;
  EXPECT_EQ(encrypt(found.front(), after), CKR_OK);
  EXPECT_EQ(after, before);
}

// What it looks like is not enough.
TEST_P(GroupOutage, AnotherKeyInItsPlaceIsNot) {
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateSecret("aes", {flag(CKA_ENCRYPT), flag(CKA_EXTRACTABLE)}, key), CKR_OK);
  outage([&] {
    for (std::size_t i = 0; i < GetParam(); ++i) {
      const std::vector<CK_OBJECT_HANDLE> there = findOn(i, {text(CKA_LABEL, "aes")});
      ASSERT_EQ(there.size(), 1U);
      ASSERT_EQ(softHsm->C_DestroyObject(direct[i], there.front()), CKR_OK);
      CK_OBJECT_CLASS object = CKO_SECRET_KEY;
      CK_KEY_TYPE type = CKK_AES;
      const std::string name = "aes";
      Bytes value(32, static_cast<CK_BYTE>(i + 1));
      Template other{{CKA_CLASS, &object, sizeof object},
                     {CKA_KEY_TYPE, &type, sizeof type},
                     {CKA_VALUE, value.data(), value.size()},
                     flag(CKA_TOKEN),
                     flag(CKA_PRIVATE),
                     flag(CKA_SENSITIVE),
                     flag(CKA_EXTRACTABLE),
                     flag(CKA_ENCRYPT),
                     text(CKA_LABEL, name),
                     text(CKA_ID, name)};
      CK_OBJECT_HANDLE made = 0;
      ASSERT_EQ(softHsm->C_CreateObject(direct[i], other.data(), other.size(), &made), CKR_OK);
    }
  });
  Bytes after;
  EXPECT_EQ(encrypt(key, after), CKR_OBJECT_HANDLE_INVALID);
}

INSTANTIATE_TEST_SUITE_P(Members, GroupOutage, testing::Values(1, 3),
                         [](const auto& each) { return std::to_string(each.param); });

}  // namespace
}  // namespace p11ha::tests
