// What is left behind after many cycles, and what signals do to calls.
#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include "tests/lifecycle/lifecycle_fixture.h"

namespace p11ha::tests {
namespace {

using Resources = LifeCycle;

void cycle(CK_FUNCTION_LIST_3_0_PTR functions) {
  struct Cycle : Client {
    using Client::Client;
  };
  const Cycle client(functions);
  EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  const CK_SESSION_HANDLE session = client.open(0);
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(client.random(session), CKR_OK);
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
}

TEST_F(Resources, AreAllGivenBackInTwoHundredCycles) {
  expectEndsWell([&] {
    auto* f = module();
    const std::size_t threadsBefore = threads();
    for (int i = 0; i < 20; ++i) cycle(f);
    const std::size_t filesBefore = openFiles();
    const std::size_t memoryBefore = mallinfo2().uordblks;
    for (int k = 0; k < 6; ++k) { for (int i = 0; i < 200; ++i) cycle(f);
    std::fprintf(stderr, "MEM %zu\n", mallinfo2().uordblks); }
    EXPECT_EQ(openFiles(), filesBefore);
    await([&] { return threads() == threadsBefore; }, "threads that have ended");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their allocators do not say
    std::fprintf(stderr, "MEM %zu -> %zu\n", memoryBefore, mallinfo2().uordblks);
    EXPECT_LT(mallinfo2().uordblks, memoryBefore + 200 * 64) << "less than anything a cycle could leave behind";
#endif
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
