#include <atomic>
#include <chrono>
#include <fstream>
#include <set>
#include <thread>

#include "cryptoki/return_codes.h"
#include "tests/module/failing_fixture.h"

namespace p11ha::tests {
namespace {

// Initialised, with a logged-in session and a key on each token.
class FailingModule : public FailingModuleTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    slot = client.slotOf(store.serial(0));
    otherSlot = client.slotOf(store.serial(1));
    session = client.open(slot);
    otherSession = client.open(otherSlot);
    ASSERT_EQ(client.login(session), CKR_OK);
    ASSERT_EQ(client.login(otherSession), CKR_OK);
    ASSERT_EQ(client.createKey(session, key), CKR_OK);
    ASSERT_EQ(client.createKey(otherSession, otherKey), CKR_OK);
  }
  void TearDown() override { client.f->C_Finalize(nullptr); }

  CK_RV sign() const { return client.sign(session, key); }
  CK_RV signOther() const { return client.sign(otherSession, otherKey); }

  Client client{loadModule(kFailingModule)};
  CK_SLOT_ID slot = 0;
  CK_SLOT_ID otherSlot = 0;
  CK_SESSION_HANDLE session = 0;
  CK_SESSION_HANDLE otherSession = 0;
  CK_OBJECT_HANDLE key = 0;
  CK_OBJECT_HANDLE otherKey = 0;
};

std::string firstLineWith(const std::string& text, const std::string& word) {
  const auto at = text.find(word + " ");
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

TEST_F(FailingModule, PassesOnAndCounts) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sign(), CKR_OK);
  EXPECT_EQ(signOther(), CKR_OK);
  EXPECT_EQ(firstLineWith(tell("stats " + it()), "C_Sign"), "C_Sign 3");
  EXPECT_EQ(firstLineWith(tell("stats " + std::to_string(otherSlot)), "C_Sign"), "C_Sign 1");
  EXPECT_EQ(firstLineWith(tell("stats"), "C_Sign"), "C_Sign 4");
  EXPECT_EQ(firstLineWith(tell("stats"), "C_Initialize"), "C_Initialize 1");
  EXPECT_EQ(tell("refused"), "");
  // SoftHSM knows nothing of v3.0.
  EXPECT_EQ(client.f->C_SessionCancel(session, CKF_SIGN), CKR_FUNCTION_NOT_SUPPORTED);
}

TEST_F(FailingModule, FailsOneTokenAndNotTheOther) {
  tell("fail " + it() + " * CKR_DEVICE_ERROR");
  EXPECT_EQ(sign(), CKR_DEVICE_ERROR);
  EXPECT_EQ(signOther(), CKR_OK);
  CK_TOKEN_INFO info{};
  EXPECT_EQ(client.f->C_GetTokenInfo(slot, &info), CKR_DEVICE_ERROR);
  EXPECT_EQ(client.f->C_GetTokenInfo(otherSlot, &info), CKR_OK);
  EXPECT_EQ(client.slots(CK_TRUE).size(), 3U) << "a failing token is still there";
  EXPECT_EQ(tell("refused " + it()), "C_GetTokenInfo 1\nC_SignInit 1\n");
  tell("heal " + other());
  EXPECT_EQ(sign(), CKR_DEVICE_ERROR) << "it was the other that was healed";
  tell("heal " + it());
  EXPECT_EQ(sign(), CKR_OK) << "session, login and key survive";
}

TEST_F(FailingModule, FailsOnlyTheCallsNamed) {
  tell("fail " + std::to_string(slot) + " C_GenerateRandom,C_SeedRandom 0x6");
  EXPECT_EQ(client.random(session), CKR_FUNCTION_FAILED);
  EXPECT_EQ(client.random(otherSession), CKR_OK);
  EXPECT_EQ(sign(), CKR_OK);
}

TEST_F(FailingModule, FailsSoManyTimes) {
  tell("fail " + it() + " C_GenerateRandom CKR_DEVICE_MEMORY times 2");
  EXPECT_EQ(client.random(session), CKR_DEVICE_MEMORY);
  tell("fail " + other() + " C_Sign CKR_DEVICE_ERROR");  // another rule does not make this one begin again
  EXPECT_EQ(client.random(session), CKR_DEVICE_MEMORY);
  EXPECT_EQ(client.random(session), CKR_OK);
}

TEST_F(FailingModule, FailsAfterTheCallWasCarriedOut) {
  tell("fail " + it() + " C_CloseSession CKR_DEVICE_ERROR after");
  const CK_SESSION_HANDLE second = client.open(slot);
  EXPECT_EQ(client.f->C_CloseSession(second), CKR_DEVICE_ERROR);
  EXPECT_EQ(client.random(second), CKR_SESSION_HANDLE_INVALID) << "it is closed all the same";
}

TEST_F(FailingModule, FailsCallsThatNameNoSlot) {
  tell("fail any C_GetSlotList,C_GetInfo CKR_HOST_MEMORY");
  CK_ULONG count = 0;
  CK_INFO info;
  EXPECT_EQ(client.f->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_HOST_MEMORY);
  EXPECT_EQ(client.f->C_GetInfo(&info), CKR_HOST_MEMORY);
  EXPECT_EQ(sign(), CKR_OK);
}

TEST_F(FailingModule, DelaysACall) {
  tell("delay " + it() + " C_GenerateRandom 30 times 1");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client.random(session), CKR_OK);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(30));
}

TEST_F(FailingModule, HealEndsADelayAndAFailureComesAfterIt) {
  tell("fail " + it() + " C_GenerateRandom CKR_DEVICE_ERROR");
  tell("delay " + it() + " C_GenerateRandom 3600000");
  CK_RV rv = CKR_OK;
  std::thread caller([&] { rv = client.random(session); });
  awaitWaiting(it(), "C_GenerateRandom 1\n");
  tell("heal");
  caller.join();
  EXPECT_EQ(rv, CKR_OK) << "the failure was healed with the delay";
}

TEST_F(FailingModule, HangsUntilHealed) {
  tell("hang " + it());
  CK_RV rv = CKR_GENERAL_ERROR;
  std::thread caller([&] { rv = sign(); });
  awaitWaiting(it(), "C_SignInit 1\n");
  EXPECT_EQ(signOther(), CKR_OK);
  tell("heal " + it());
  caller.join();
  EXPECT_EQ(rv, CKR_OK);
}

TEST_F(FailingModule, FinalizeEndsAHang) {
  tell("hang " + it() + " C_GenerateRandom");
  CK_RV rv = CKR_OK;
  std::thread caller([&] { rv = client.random(session); });
  awaitWaiting(it(), "C_GenerateRandom 1\n");
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  caller.join();
  EXPECT_EQ(rv, CKR_CRYPTOKI_NOT_INITIALIZED);
}

TEST_F(FailingModule, UnplugsATokenAndPlugsItInAgain) {
  tell("unplug " + it());
  EXPECT_EQ(client.slots(CK_TRUE).size(), 2U);
  EXPECT_EQ(client.slots(CK_FALSE).size(), 3U);
  CK_ULONG room = 1;
  CK_SLOT_ID few[1];
  EXPECT_EQ(client.f->C_GetSlotList(CK_TRUE, few, &room), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(room, 2U);
  CK_SLOT_INFO slotInfo{};
  EXPECT_EQ(client.f->C_GetSlotInfo(slot, &slotInfo), CKR_OK);
  EXPECT_EQ(slotInfo.flags & CKF_TOKEN_PRESENT, 0U);
  CK_TOKEN_INFO info{};
  EXPECT_EQ(client.f->C_GetTokenInfo(slot, &info), CKR_TOKEN_NOT_PRESENT);
  CK_SESSION_HANDLE none = 0;
  EXPECT_EQ(client.f->C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &none), CKR_TOKEN_NOT_PRESENT);
  EXPECT_EQ(sign(), CKR_DEVICE_REMOVED);
  EXPECT_EQ(signOther(), CKR_OK);

  tell("heal " + it());
  EXPECT_EQ(client.slots(CK_TRUE).size(), 3U);
  EXPECT_EQ(sign(), CKR_SESSION_HANDLE_INVALID);
  session = client.open(slot);
  CK_SESSION_INFO sessionInfo{};
  EXPECT_EQ(client.f->C_GetSessionInfo(session, &sessionInfo), CKR_OK);
  EXPECT_EQ(sessionInfo.state, CK_STATE{CKS_RW_PUBLIC_SESSION}) << "the login went with the token";
  EXPECT_EQ(client.login(session), CKR_OK);
  ASSERT_EQ(client.createKey(session, key), CKR_OK);
  EXPECT_EQ(sign(), CKR_OK);
}

TEST_F(FailingModule, DeactivatesAToken) {
  tell("deactivate " + it());
  EXPECT_EQ(sign(), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(signOther(), CKR_OK);
  EXPECT_EQ(client.login(session), CKR_USER_PIN_NOT_INITIALIZED);
  CK_TOKEN_INFO info{};
  EXPECT_EQ(client.f->C_GetTokenInfo(slot, &info), CKR_OK);
  EXPECT_EQ(info.flags & CKF_USER_PIN_INITIALIZED, 0U);
  tell("heal " + it());
  CK_SESSION_INFO sessionInfo{};
  EXPECT_EQ(client.f->C_GetSessionInfo(session, &sessionInfo), CKR_OK);
  EXPECT_EQ(sessionInfo.state, CK_STATE{CKS_RW_PUBLIC_SESSION}) << "the login really ended";
  EXPECT_EQ(client.login(session), CKR_OK);
}

TEST_F(FailingModule, FailsInitializeAndFinalizeWhenTheyAreNamed) {
  tell("fail any * CKR_DEVICE_ERROR");
  tell("fail any C_Finalize CKR_GENERAL_ERROR times 1");
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_GENERAL_ERROR);
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  tell("fail any C_Initialize CKR_FUNCTION_FAILED times 1");
  EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_FUNCTION_FAILED);
  EXPECT_EQ(client.random(1), CKR_CRYPTOKI_NOT_INITIALIZED);
  EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_CRYPTOKI_ALREADY_INITIALIZED);
}

TEST_F(FailingModule, CountsAndRulesOutliveAFinalize) {
  tell("fail " + it() + " C_SeedRandom CKR_DEVICE_ERROR");
  EXPECT_EQ(sign(), CKR_OK);
  ASSERT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(firstLineWith(tell("stats " + it()), "C_Sign"), "C_Sign 1");
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  session = client.open(slot);
  CK_BYTE seed[] = {1};
  EXPECT_EQ(client.f->C_SeedRandom(session, seed, sizeof seed), CKR_DEVICE_ERROR);
  ASSERT_EQ(client.login(session), CKR_OK);
  ASSERT_EQ(client.createKey(session, key), CKR_OK);
  EXPECT_EQ(sign(), CKR_OK);
  EXPECT_EQ(firstLineWith(tell("stats " + it()), "C_Sign"), "C_Sign 2");
}

// Each thread makes a session whenever its own is gone, so that calls meet every change of the rules.
TEST_F(FailingModule, SixteenThreadsMeetEveryRule) {
  std::atomic<bool> done{false};
  std::atomic<long> served[2] = {0, 0};
  std::atomic<CK_RV> unexpected{CKR_OK};
  const std::set<CK_RV> expected{CKR_OK,
                                 CKR_DEVICE_ERROR,
                                 CKR_DEVICE_REMOVED,
                                 CKR_TOKEN_NOT_PRESENT,
                                 CKR_SESSION_HANDLE_INVALID,
                                 CKR_USER_NOT_LOGGED_IN};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      const CK_SLOT_ID mine = i % 2 == 0 ? slot : otherSlot;
      CK_SESSION_HANDLE own = CK_INVALID_HANDLE;
      while (!done.load()) {
        CK_RV rv = own == CK_INVALID_HANDLE ? client.f->C_OpenSession(mine, CKF_SERIAL_SESSION, nullptr, nullptr, &own)
                                            : client.random(own);
        if (rv == CKR_SESSION_HANDLE_INVALID) own = CK_INVALID_HANDLE;
        if (rv == CKR_OK) ++served[i % 2];
        if (!expected.contains(rv) || (i % 2 == 1 && rv != CKR_OK)) unexpected = rv;
      }
    });
  }
  for (int round = 0; round < 4; ++round) {
    for (const char* rule : {"fail @ * CKR_DEVICE_ERROR", "unplug @", "hang @", "deactivate @", "delay @ * 1"}) {
      std::string line = rule;
      tell(line.replace(line.find('@'), 1, it()));
      tell("heal " + it());
    }
  }
  const long before = served[0];
  while (served[0] < before + 100) std::this_thread::yield();
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(unexpected.load(), CKR_OK) << cryptoki::returnCodeName(unexpected);
  EXPECT_GT(served[1], 0);
}

}  // namespace
}  // namespace p11ha::tests
