// What is left behind after many cycles, and what signals do to calls.
#include <pthread.h>
#include <signal.h>

#include "tests/lifecycle/allocations.h"
#include "tests/lifecycle/lifecycle_fixture.h"

namespace p11ha::tests {
namespace {

using Resources = LifeCycle;

constexpr int kCycles = 200;

void cycle(const Client& client) {
  EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  const CK_SESSION_HANDLE session = client.open(0);
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(client.random(session), CKR_OK);
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
}

TEST_F(Resources, AreAllGivenBackInTwoHundredCycles) {
  expectEndsWell([&] {
    const Client client(module());
    const std::size_t threadsBefore = threads();
    const auto threadsAreGone = [&] { return threads() == threadsBefore; };
    for (int i = 0; i < 20; ++i) cycle(client);
    await(threadsAreGone, "threads that end");
    const std::size_t filesBefore = openFiles();
    const std::optional<long> allocationsBefore = liveAllocations();
    for (int i = 0; i < kCycles; ++i) cycle(client);
    await(threadsAreGone, "threads that end");
    EXPECT_EQ(openFiles(), filesBefore);
    // Tables of OpenSSL grow now and then; what every cycle leaves behind is as many as there were cycles.
    if (allocationsBefore) {
      EXPECT_LT(*liveAllocations() - *allocationsBefore, kCycles);
    }
  });
}

TEST_F(Resources, SignalsDoNotDisturbCalls) {
  expectEndsWell([&] {
    static std::atomic<int> received{0};
    struct sigaction action {};
    action.sa_handler = [](int) { received.fetch_add(1); };  // without SA_RESTART
    sigaction(SIGUSR1, &action, nullptr);
    const Working client = work();
    std::atomic<int> callsLeft{3};
    std::vector<std::thread> disturbed;
    disturbed.emplace_back([&] {
      CK_SLOT_ID slot = 0;
      EXPECT_EQ(client.f->C_WaitForSlotEvent(0, &slot, nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
    });
    for (int i = 0; i < 3; ++i) {
      disturbed.emplace_back([&] {
        const CK_SESSION_HANDLE session = client.open(0);
        CK_MECHANISM generate{CKM_AES_KEY_GEN, nullptr, 0};
        Template wanted{flag(CKA_TOKEN), flag(CKA_EXTRACTABLE), {CKA_VALUE_LEN, &aesLength, sizeof aesLength}};
        for (int call = 0; call < 30; ++call) {
          CK_OBJECT_HANDLE key = 0;
          EXPECT_EQ(client.f->C_GenerateKey(session, &generate, wanted.data(), wanted.size(), &key), CKR_OK);
          EXPECT_EQ(client.random(session), CKR_OK);
          EXPECT_EQ(client.f->C_DestroyObject(session, key), CKR_OK);
        }
        callsLeft.fetch_sub(1);
      });
    }
    while (callsLeft.load() != 0) {
      for (std::thread& thread : disturbed) pthread_kill(thread.native_handle(), SIGUSR1);
      std::this_thread::yield();
    }
    EXPECT_GT(received.load(), 0);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    for (std::thread& thread : disturbed) thread.join();
  });
  EXPECT_EQ(logged("dropped member"), 0U) << log();
}

}  // namespace
}  // namespace p11ha::tests
