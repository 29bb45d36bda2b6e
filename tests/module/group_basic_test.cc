// All members are lost: what the recovery modes, and RecoverWait, make of that.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

using std::chrono::milliseconds;

class GroupLost : public WorkingGroup {
 protected:
  void with(const std::string& mode, const std::string& own) const {
    configure(configuration(theGroup() + "   VirtualTokenActiveRecovery = " + mode + ";\n", "   HAOnly = 1;\n",
                            theModule() + own));
  }
  void loseAll(CK_RV answered) const {
    tell("fail any * CKR_DEVICE_REMOVED");
    await([&] { return client.random(session) == answered && logged("all members gone offline.") != 0; },
          "all members lost");
  }
};

class GroupBasic : public GroupLost {
 protected:
  void SetUp() override {
    with("activeBasic", {});
    WorkingGroup::SetUp();
  }
};

TEST_F(GroupBasic, TheApplicationBeginsAnew) {
  Pair pair;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "pair", pair), CKR_OK);
  loseAll(CKR_DEVICE_REMOVED);
  tell("heal");
  EXPECT_EQ(sign(pair.privateKey), CKR_DEVICE_REMOVED);
  CK_SESSION_HANDLE another = 0;
  EXPECT_EQ(client.f->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &another), CKR_DEVICE_REMOVED);
  EXPECT_EQ(client.f->C_FindObjectsInit(session, nullptr, 0), CKR_DEVICE_REMOVED);
  EXPECT_EQ(client.f->C_GenerateRandom(session, nullptr, 0), CKR_DEVICE_REMOVED);
  CK_TOKEN_INFO info{};
  EXPECT_EQ(client.f->C_GetTokenInfo(0, &info), CKR_DEVICE_REMOVED);

  ASSERT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(logged("recovery attempt"), 0U) << log();
  EXPECT_EQ(logged("all members gone offline."), 1U) << log();
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  session = client.open(0);
  ASSERT_EQ(client.login(session), CKR_OK);
  const auto found = find({ofClass(privateKeys), text(CKA_LABEL, "pair")});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(sign(found.front()), CKR_OK);
}

TEST_F(GroupBasic, OneMemberIsEnough) {
  tell("fail " + member(0) + " * CKR_DEVICE_REMOVED");
  await([&] { return client.random(session) == CKR_OK && logged("has dropped member: " + store.serial(0)) != 0; },
        "a loss");
  tell("heal");
  awaitLog("succeeded for member: " + store.serial(0));
  EXPECT_EQ(client.random(session), CKR_OK);
}

class GroupRecoverWait : public GroupLost {
 protected:
  void SetUp() override {
    with("activeEnhanced", "   RecoverWait = 60000;\n   CallDeadline = 25000;\n");
    WorkingGroup::SetUp();
  }
  /// All are lost, by a call that waits for one of them.
  std::thread lostInRandom(CK_RV& answer) {
    tell("fail any * CKR_DEVICE_REMOVED");
    std::thread caller([this, &answer] { answer = client.random(session); });
    awaitLog("all members gone offline.");
    return caller;
  }
};

TEST_F(GroupRecoverWait, ACallGoesOnWhenAMemberIsBack) {
  Pair pair;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "pair", pair), CKR_OK);
  const CK_SESSION_HANDLE other = client.open(0);
  CK_RV answer = CKR_GENERAL_ERROR;
  std::thread caller = lostInRandom(answer);
  // Calls of every kind begin without a member.
  CK_RV signedLater = CKR_GENERAL_ERROR;
  std::thread signer([&] {
    Bytes signature;
    signedLater = sign(other, CKM_ECDSA, pair.privateKey, signature);
  });
  const CK_SESSION_HANDLE finding = client.open(0);
  CK_RV found = CKR_GENERAL_ERROR;
  std::thread finder([&] { found = client.f->C_FindObjectsInit(finding, nullptr, 0); });
  const CK_SESSION_HANDLE making = client.open(0);
  CK_RV created = CKR_GENERAL_ERROR;
  std::thread maker([&] {
    CK_OBJECT_HANDLE key = 0;
    created = client.createKey(making, key);
  });
  // They wait while attempts fail.
  awaitLog("recovery attempt 1 failed");
  tell("heal");
  for (std::thread* const thread : {&caller, &signer, &finder, &maker}) thread->join();
  EXPECT_EQ(answer, CKR_OK);
  EXPECT_EQ(signedLater, CKR_OK);
  EXPECT_EQ(found, CKR_OK);
  EXPECT_EQ(created, CKR_OK);
}

TEST_F(GroupRecoverWait, CFinalizeWaitsForNoneOfThem) {
  CK_RV answer = CKR_OK;
  std::thread caller = lostInRandom(answer);
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  caller.join();
  // CallDeadline is 25 s.
  EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(15'000));
  EXPECT_TRUE(answer == CKR_DEVICE_ERROR || answer == CKR_CRYPTOKI_NOT_INITIALIZED) << answer;
}

class GroupRecoverWaitShort : public GroupLost {
 protected:
  void SetUp() override {
    with("activeEnhanced", "   RecoverWait = 200;\n");
    WorkingGroup::SetUp();
  }
};

TEST_F(GroupRecoverWaitShort, ThenItFails) {
  loseAll(CKR_DEVICE_ERROR);
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(client.random(session), CKR_DEVICE_ERROR);
  EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds(200));
  ASSERT_EQ(client.f->C_Logout(session), CKR_OK);
  const auto then = std::chrono::steady_clock::now();
  EXPECT_EQ(client.login(session), CKR_DEVICE_ERROR);
  EXPECT_GE(std::chrono::steady_clock::now() - then, milliseconds(200));
}

}  // namespace
}  // namespace p11ha::tests
