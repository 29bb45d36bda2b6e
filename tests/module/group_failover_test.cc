// Members that fail and come back while an application works.
#include <atomic>

#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

using GroupFailover = WorkingGroup;

// Signs in eight threads, each in a session of its own, until it is told to end.
class SigningLoop {
 public:
  SigningLoop(const Client& client, CK_OBJECT_HANDLE key) : client_(client), key_(key) {
    for (int i = 0; i < 8; ++i) {
      const CK_SESSION_HANDLE session = client.open(0);
      threads_.emplace_back([this, session] { run(session); });
    }
  }
  ~SigningLoop() { end(); }
  SigningLoop(const SigningLoop&) = delete;
  SigningLoop& operator=(const SigningLoop&) = delete;

  void end() {
    ended_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  /// Waits until so many more signatures are made.
  void awaitMore(unsigned long count) const {
    const unsigned long enough = made + count;
    await([&] { return made >= enough || failed != 0; }, "more signatures");
  }

  std::atomic<unsigned long> made{0};
  std::atomic<unsigned long> failed{0};
  std::atomic<CK_RV> answer{CKR_OK};

 private:
  void run(CK_SESSION_HANDLE session) {
    CK_MECHANISM mechanism{CKM_ECDSA, nullptr, 0};
    while (!ended_) {
      CK_BYTE data[32] = {1};
      CK_BYTE signature[64];
      CK_ULONG size = sizeof signature;
      CK_RV rv = client_.f->C_SignInit(session, &mechanism, key_);
      if (rv == CKR_OK) rv = client_.f->C_Sign(session, data, sizeof data, signature, &size);
      if (rv == CKR_OK) {
        ++made;
      } else {
        ++failed;
        answer = rv;
      }
      // As an application does between two signatures: eight threads that never rest leave nobody else a turn at
      // SoftHSM's locks, which are not fair, and all members here share one SoftHSM.
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  const Client& client_;
  const CK_OBJECT_HANDLE key_;
  std::atomic<bool> ended_{false};
  std::vector<std::thread> threads_;
};

class GroupFailoverOf : public GroupFailover, public testing::WithParamInterface<std::size_t> {};

TEST_P(GroupFailoverOf, AMemberDiesAndComesBackUnderEightThreads) {
  const std::size_t dying = GetParam();
  const std::string serial = store.serial(dying);
  Pair pair;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "ec", pair), CKR_OK);
  SigningLoop loop(client, pair.privateKey);
  await([&] { return asked(dying, "C_Sign") > 50; }, "the member to sign");
  tell("fail " + member(dying) + " * CKR_DEVICE_ERROR");
  awaitLog("has dropped member: " + serial);
  loop.awaitMore(500);

  // Made while the member is away: it gets them when it is back.
  Pair meanwhile;
  CK_OBJECT_HANDLE aes = 0;
  const std::string aesLabel = "aes";
  const std::string label = "meanwhile";
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, label, meanwhile), CKR_OK);
  ASSERT_EQ(generateAes(aesLabel, aes), CKR_OK);
  EXPECT_EQ(findOn(dying, {text(CKA_LABEL, label)}).size(), 0U);
  EXPECT_EQ(findOn(dying, {text(CKA_LABEL, aesLabel)}).size(), 0U);

  tell("heal " + member(dying));
  awaitLog("succeeded for member: " + serial);
  const unsigned long before = asked(dying, "C_Sign");
  await([&] { return asked(dying, "C_Sign") > before + 50; }, "the member to sign again");
  loop.end();

  EXPECT_EQ(loop.failed, 0U) << loop.answer;
  EXPECT_EQ(logged("has dropped member"), 1U) << log();
  EXPECT_EQ(logged("succeeded for member"), 1U) << log();
  EXPECT_EQ(logged("reintroducing 3 token objects to recovered token " + serial), 1U) << log();
  EXPECT_EQ(logged("all members gone offline"), 0U);
  EXPECT_EQ(onEach({text(CKA_LABEL, label)}), "2 2 2");
  EXPECT_EQ(onEach({text(CKA_LABEL, aesLabel)}), "1 1 1");
  for (int i = 0; i < 6; ++i) EXPECT_EQ(sign(meanwhile.privateKey), CKR_OK);
}

INSTANTIATE_TEST_SUITE_P(Member, GroupFailoverOf, testing::Values(0U, 2U));

TEST_F(GroupFailover, ARecoveryThatSucceedsAtOnceIsTheFirstAttempt) {
  Pair pair;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "ec", pair), CKR_OK);
  tell("fail " + member(1) + " C_SignInit CKR_DEVICE_ERROR times 1");
  for (int i = 0; i < 6; ++i) EXPECT_EQ(sign(pair.privateKey), CKR_OK);
  awaitLog("has dropped member: " + store.serial(1));
  awaitLog("recovery attempt 1 succeeded for member: " + store.serial(1));
  EXPECT_EQ(logged("failed for member"), 0U) << log();
  EXPECT_EQ(logged("has dropped member"), 1U) << log();
}

TEST_F(GroupFailover, AllMembersFailAndTheSameHandlesWorkAgain) {
  Pair pair;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "ec", pair), CKR_OK);
  ASSERT_EQ(sign(pair.privateKey), CKR_OK);
  for (std::size_t i = 0; i < 3; ++i) tell("fail " + member(i) + " * CKR_DEVICE_ERROR");
  EXPECT_EQ(sign(pair.privateKey), CKR_DEVICE_ERROR);
  awaitLog("all members gone offline.");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sign(pair.privateKey), CKR_DEVICE_ERROR);
  EXPECT_EQ(client.slots(CK_TRUE), std::vector<CK_SLOT_ID>{0});
  for (std::size_t i = 0; i < 3; ++i) tell("heal " + member(i));
  await([&] { return sign(pair.privateKey) == CKR_OK; }, "the group to work again");
  await([&] { return logged("succeeded for member") == 3; }, "three members back");
  for (int i = 0; i < 9; ++i) EXPECT_EQ(sign(pair.privateKey), CKR_OK);
  CK_SESSION_INFO info{};
  ASSERT_EQ(client.f->C_GetSessionInfo(session, &info), CKR_OK);
  EXPECT_EQ(info.state, CK_STATE{CKS_RW_USER_FUNCTIONS});
  EXPECT_EQ(logged("all members gone offline."), 1U) << log();
  EXPECT_EQ(logged("has dropped member"), 3U) << log();
}

using GroupLogin = GroupTest;

TEST_F(GroupLogin, AWrongPinIsAskedOfThePrimaryOnly) {
  const Client client(module());
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  const CK_SESSION_HANDLE session = client.open(0);
  EXPECT_EQ(client.login(session, "87654320"), CKR_PIN_INCORRECT);
  EXPECT_EQ(asked(0, "C_Login"), 1U);
  EXPECT_EQ(asked(1, "C_Login"), 0U);
  EXPECT_EQ(asked(2, "C_Login"), 0U);
  CK_SESSION_INFO info{};
  ASSERT_EQ(client.f->C_GetSessionInfo(session, &info), CKR_OK);
  EXPECT_EQ(info.state, CK_STATE{CKS_RW_PUBLIC_SESSION});
  EXPECT_EQ(logged("\n"), 2U) << log();

  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(client.login(session), CKR_USER_ALREADY_LOGGED_IN);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(asked(i, "C_Login"), i == 0 ? 2U : 1U);
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_EQ(client.f->C_Logout(session), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(logged("\n"), 2U) << log();
}

}  // namespace
}  // namespace p11ha::tests
