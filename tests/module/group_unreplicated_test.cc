// UnreplicatedKeys = deny: no key comes to be that one member only could ever hold.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupUnreplicated : public WorkingGroup {
 protected:
  GroupUnreplicated() {
    configure(configuration(theGroup(), "   HAOnly = 1;\n", theModule() + "   UnreplicatedKeys = deny;\n"));
  }
  void leaveOneMember() {
    for (const std::size_t lost : {1U, 2U}) tell("fail " + member(lost) + " * CKR_DEVICE_ERROR");
    for (int i = 0; i < 9; ++i) EXPECT_EQ(client.random(session), CKR_OK);
    await([&] { return logged("has dropped member") == 2; }, "both dropped");
  }
  CK_RV generateAes(bool extractable, bool copyable, CK_OBJECT_HANDLE& made) const {
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    Template wanted{flag(CKA_TOKEN), flag(CKA_ENCRYPT), flag(CKA_EXTRACTABLE, extractable), text(CKA_LABEL, label)};
    wanted.push_back({CKA_VALUE_LEN, &aesLength, sizeof aesLength});
    if (!copyable) wanted.push_back(flag(CKA_COPYABLE, false));
    return client.f->C_GenerateKey(session, &mechanism, wanted.data(), wanted.size(), &made);
  }
  CK_RV import(bool extractable, CK_OBJECT_HANDLE& made) const {
    CK_OBJECT_CLASS object = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    Bytes value(32, 5);
    Template wanted{{CKA_CLASS, &object, sizeof object},
                    {CKA_KEY_TYPE, &type, sizeof type},
                    {CKA_VALUE, value.data(), value.size()},
                    flag(CKA_TOKEN),
                    flag(CKA_ENCRYPT),
                    flag(CKA_WRAP),
                    flag(CKA_UNWRAP),
                    flag(CKA_EXTRACTABLE, extractable),
                    text(CKA_LABEL, label)};
    return client.f->C_CreateObject(session, wanted.data(), wanted.size(), &made);
  }
  std::string left() const { return onEach({text(CKA_LABEL, label)}); }

  const std::string label = "unreplicated";
  CK_OBJECT_HANDLE key = 0;
};

TEST_F(GroupUnreplicated, HoldsForEveryWayToGenerate) {
  EXPECT_EQ(generateAes(false, true, key), CKR_TEMPLATE_INCONSISTENT);
  EXPECT_EQ(generateAes(false, false, key), CKR_TEMPLATE_INCONSISTENT);
  Pair pair;
  EXPECT_EQ(generate(CKM_EC_KEY_PAIR_GEN, label, pair, false), CKR_TEMPLATE_INCONSISTENT);
  EXPECT_EQ(left(), "0 0 0");
  EXPECT_EQ(generateAes(true, true, key), CKR_OK);
  EXPECT_EQ(left(), "1 1 1");
}

TEST_F(GroupUnreplicated, HoldsWhereOneMemberIsLeft) {
  leaveOneMember();
  EXPECT_EQ(generateAes(false, true, key), CKR_TEMPLATE_INCONSISTENT);
  EXPECT_EQ(generateAes(false, false, key), CKR_TEMPLATE_INCONSISTENT);
  EXPECT_EQ(import(false, key), CKR_TEMPLATE_INCONSISTENT);
  EXPECT_EQ(key, CK_INVALID_HANDLE);
  EXPECT_EQ(left(), "0 0 0");
  // What can be cloned will be.
  EXPECT_EQ(generateAes(true, true, key), CKR_OK);
  EXPECT_EQ(import(true, key), CKR_OK);
  EXPECT_EQ(left(), "2 0 0");
}

TEST_F(GroupUnreplicated, HoldsForUnwrappedAndCopiedKeys) {
  CK_OBJECT_HANDLE base = 0;
  ASSERT_EQ(import(true, base), CKR_OK);
  CK_MECHANISM wrapping{CKM_AES_KEY_WRAP, nullptr, 0};
  Bytes wrapped(100);
  CK_ULONG size = wrapped.size();
  ASSERT_EQ(client.f->C_WrapKey(session, &wrapping, base, base, wrapped.data(), &size), CKR_OK);
  leaveOneMember();

  CK_OBJECT_CLASS object = CKO_SECRET_KEY;
  CK_KEY_TYPE type = CKK_AES;
  Template fixed{{CKA_CLASS, &object, sizeof object},
                 {CKA_KEY_TYPE, &type, sizeof type},
                 flag(CKA_TOKEN),
                 flag(CKA_EXTRACTABLE, false),
                 text(CKA_LABEL, label)};
  EXPECT_EQ(client.f->C_UnwrapKey(session, &wrapping, base, wrapped.data(), size, fixed.data(), fixed.size(), &key),
            CKR_TEMPLATE_INCONSISTENT);
  Template narrowing{flag(CKA_EXTRACTABLE, false)};
  EXPECT_EQ(client.f->C_CopyObject(session, base, narrowing.data(), narrowing.size(), &key), CKR_TEMPLATE_INCONSISTENT);
  EXPECT_EQ(left(), "1 1 1");
}

TEST_F(GroupUnreplicated, AllowsWhatTwoMembersHold) {
  EXPECT_EQ(import(false, key), CKR_OK);
  EXPECT_EQ(left(), "1 1 1");
  tell("fail " + member(2) + " * CKR_DEVICE_ERROR");
  EXPECT_EQ(import(false, key), CKR_OK);
  EXPECT_EQ(left(), "2 2 1");
  EXPECT_EQ(logged("is on 2 of 3 members"), 1U) << log();
}

}  // namespace
}  // namespace p11ha::tests
