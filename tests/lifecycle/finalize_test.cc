// C_Initialize and C_Finalize, against each other and against everything else.
#include <sys/syscall.h>
#include <unistd.h>

#include <set>

#include "tests/lifecycle/lifecycle_fixture.h"

namespace p11ha::tests {
namespace {

using Finalize = LifeCycle;

// Threads that wait for a slot event, and are told that the library is not initialised any more.
class Waiters {
 public:
  Waiters(const Client& client, std::size_t count) : tids_(count) {
    for (std::size_t i = 0; i < count; ++i) {
      threads_.emplace_back([this, client, i] {
        tids_[i].store(static_cast<int>(syscall(SYS_gettid)));
        CK_SLOT_ID slot = 0;
        EXPECT_EQ(client.f->C_WaitForSlotEvent(0, &slot, nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
      });
    }
    for (auto& tid : tids_) {
      await([&] { return tid.load() != 0; }, "a thread that waits");
      awaitAsleep(tid.load());
    }
  }
  ~Waiters() {
    for (std::thread& thread : threads_) thread.join();
  }
  Waiters(const Waiters&) = delete;
  Waiters& operator=(const Waiters&) = delete;

 private:
  std::vector<std::atomic<int>> tids_;
  std::vector<std::thread> threads_;
};

TEST_F(Finalize, WaitsForRunningCallsAndWakesSleepers) {
  expectEndsWell([&] {
    const Working client = work();
    Callers callers(client, 32);
    const Waiters waiters(client, 4);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    EXPECT_EQ(client.random(client.session), CKR_CRYPTOKI_NOT_INITIALIZED);
    callers.join();
  });
  EXPECT_EQ(logged("management thread terminated"), 1U) << log();
}

TEST_F(Finalize, EachIsDoneOnce) {
  expectEndsWell([&] {
    auto* f = module();
    EXPECT_EQ(f->C_Finalize(nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT_EQ(f->C_Initialize(nullptr), CKR_OK);
    EXPECT_EQ(f->C_Initialize(nullptr), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    EXPECT_EQ(f->C_Finalize(nullptr), CKR_OK);
    EXPECT_EQ(f->C_Finalize(nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
    expectWorks();
  });
}

TEST_F(Finalize, OneOfManyThreadsInitialisesAndOneFinalizes) {
  expectEndsWell([&] {
    auto* f = module();
    for (int round = 0; round < 10; ++round) {
      for (const auto* function : {&f->C_Initialize, &f->C_Finalize}) {
        std::latch start(16);
        std::atomic<int> done{0};
        std::vector<std::thread> callers;
        for (int i = 0; i < 16; ++i) {
          callers.emplace_back([&] {
            start.arrive_and_wait();
            const CK_RV rv = (*function)(nullptr);
            if (rv == CKR_OK) return void(done.fetch_add(1));
            EXPECT_EQ(rv,
                      function == &f->C_Initialize ? CKR_CRYPTOKI_ALREADY_INITIALIZED : CKR_CRYPTOKI_NOT_INITIALIZED);
          });
        }
        for (std::thread& caller : callers) caller.join();
        EXPECT_EQ(done.load(), 1);
      }
    }
    expectWorks();
  });
}

TEST_F(Finalize, CallsOfManyThreadsComeBackWhateverCycleTheyAreIn) {
  expectEndsWell([&] {
    const Client client(module());
    // A handle of an earlier cycle may be another thread's in this one.
    const std::set<CK_RV> legitimate{CKR_OK,
                                     CKR_CRYPTOKI_NOT_INITIALIZED,
                                     CKR_SESSION_HANDLE_INVALID,
                                     CKR_USER_NOT_LOGGED_IN,
                                     CKR_USER_ALREADY_LOGGED_IN,
                                     CKR_KEY_HANDLE_INVALID,
                                     CKR_OBJECT_HANDLE_INVALID,
                                     CKR_OPERATION_ACTIVE,
                                     CKR_OPERATION_NOT_INITIALIZED};
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> succeeded{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 64; ++i) {
      callers.emplace_back([&] {
        const auto expect = [&](CK_RV rv) { EXPECT_TRUE(legitimate.contains(rv)) << std::hex << rv; };
        while (!stop.load()) {
          CK_SESSION_HANDLE session = 0;
          CK_OBJECT_HANDLE key = 0;
          expect(client.f->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session));
          expect(client.login(session));
          expect(client.createKey(session, key));
          const CK_RV rv = client.sign(session, key);
          expect(rv);
          if (rv == CKR_OK) succeeded.fetch_add(1);
          expect(client.random(session));
          expect(client.f->C_CloseSession(session));
        }
      });
    }
    for (int cycle = 0; cycle < 10; ++cycle) {
      EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
      const std::size_t before = succeeded.load();
      await([&] { return succeeded.load() >= before + 20; }, "calls that succeed");
      EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    }
    stop.store(true);
    for (std::thread& caller : callers) caller.join();
    expectWorks();
  });
}

TEST_F(Finalize, DoesNotWaitForACallThatNeverComesBack) {
  configure(onFailing());
  expectEndsWell([&] {
    const Working client = work();
    for (std::size_t i = 0; i < 3; ++i) tell("hang " + member(i) + " C_GenerateRandom");
    std::thread stuck([&] { EXPECT_EQ(client.random(client.session), CKR_OK) << "the answer, when it comes"; });
    awaitHeld("C_GenerateRandom", 1);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    EXPECT_EQ(client.random(client.session), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT_EQ(held("C_GenerateRandom"), 1U) << "the module was finalized under it";
    tell("heal");
    {
      const Working again = work();
      stuck.join();
      EXPECT_EQ(again.random(again.session), CKR_OK);
      EXPECT_EQ(again.f->C_Finalize(nullptr), CKR_OK);
    }
  });
}

class FinalizeOfAHungMember : public LifeCycle, public testing::WithParamInterface<const char*> {};

TEST_P(FinalizeOfAHungMember, Returns) {
  configure(onFailing());
  expectEndsWell([&] {
    const Working client = work();
    tell(std::string("hang any ") + GetParam());
    for (std::size_t i = 0; i < 3; ++i) tell("hang " + member(i) + " " + GetParam());
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    tell("heal");
    // A logout that comes late is the next life's, too: the token's login is the process's.
    ASSERT_TRUE(awaitHeld(GetParam(), 0));
    expectWorks();
  });
}

INSTANTIATE_TEST_SUITE_P(LifeCycle, FinalizeOfAHungMember, testing::Values("C_CloseSession", "C_Logout", "C_Finalize"),
                         [](const auto& instance) { return std::string(instance.param).substr(2); });

}  // namespace
}  // namespace p11ha::tests
