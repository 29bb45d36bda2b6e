// The end of a process that has not called C_Finalize, or calls it very late.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/lifecycle/lifecycle_fixture.h"

namespace p11ha::tests {
namespace {

// Called when everything else has run: by the destructor below.
void (*lastWish)() = nullptr;
__attribute__((destructor)) void atTheVeryEnd() {
  if (lastWish != nullptr) lastWish();
}

using Exit = LifeCycle;

TEST_F(Exit, WithNothingGoingOn) {
  expectEndsWell([&] {
    EXPECT_EQ(work().sign(), CKR_OK);
    std::exit(HasFailure() ? 1 : 0);
  });
  EXPECT_EQ(logged("management thread terminated"), 1U) << log();
}

TEST_F(Exit, AfterFinalizeAndInASecondCycle) {
  expectEndsWell([&] {
    expectWorks();
    EXPECT_EQ(work().sign(), CKR_OK);
    std::exit(HasFailure() ? 1 : 0);
  });
  EXPECT_EQ(logged("management thread terminated"), 2U) << log();
}

TEST_F(Exit, WithCallsRunning) {
  for (int round = 0; round < 5; ++round) {
    expectEndsWell([&] {
      const Working client = work();
      Callers::leave(client, 32);
      std::exit(HasFailure() ? 1 : 0);
    });
  }
  EXPECT_EQ(logged("management thread terminated"), 5U) << log();
}

TEST_F(Exit, ByAnotherThreadThanTheOneThatWaitsForSlotEvents) {
  expectEndsWell([&] {
    const Working client = work();
    std::atomic<int> waiter{gettid()};
    std::thread([&] {
      awaitAsleep(waiter.load());
      std::exit(HasFailure() ? 1 : 0);
    }).detach();
    CK_SLOT_ID slot = 0;
    client.f->C_WaitForSlotEvent(0, &slot, nullptr);
    for (;;) pause();  // as a main() that has yet to notice
  });
}

TEST_F(Exit, WithACallThatNeverComesBack) {
  configure(onFailing());
  expectEndsWell([&] {
    const Working client = work();
    for (std::size_t i = 0; i < 3; ++i) tell("hang " + member(i) + " C_GenerateRandom");
    std::thread([&] { client.random(client.session); }).detach();
    awaitHeld("C_GenerateRandom", 1);
    std::exit(HasFailure() ? 1 : 0);
  });
}

TEST_F(Exit, OfAForkedChildThatHasItsOwn) {
  expectEndsWell([&] {
    const Working client = work();
    expectForkEndsWell([&] {
      const Working own = work();
      Callers::leave(own, 8);
      std::exit(HasFailure() ? 1 : 0);
    });
    EXPECT_EQ(client.sign(), CKR_OK);
    std::exit(HasFailure() ? 1 : 0);
  });
  EXPECT_EQ(logged("management thread terminated"), 2U) << log();
}

// --- C_Finalize at exit

CK_FUNCTION_LIST_3_0_PTR ofThisProcess = nullptr;

bool openSslIsThere() {
  void* library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_NOLOAD);
  if (library == nullptr) _exit(10);
  using Initialize = int (*)(std::uint64_t, const void*);
  return reinterpret_cast<Initialize>(dlsym(library, "OPENSSL_init_crypto"))(0, nullptr) == 1;
}

template <bool kOpenSslIsThere>
void finalizeAtExit() {
  if (openSslIsThere() != kOpenSslIsThere) _exit(11);
  const CK_RV rv = ofThisProcess->C_Finalize(nullptr);
  if (rv != CKR_OK) _exit(12);
  CK_INFO info{};
  if (ofThisProcess->C_GetInfo(&info) != CKR_CRYPTOKI_NOT_INITIALIZED) _exit(13);
  if (ofThisProcess->C_Finalize(nullptr) != CKR_CRYPTOKI_NOT_INITIALIZED) _exit(14);
}

int atExitOfAnotherLibrary(void (*function)()) {
  void* other = dlopen(P11HA_BINARY_DIR "/lib/lifecycle-other.so", RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<int (*)(void (*)())>(dlsym(other, "callAtExit"))(function);
}

class FinalizeAtExit : public LifeCycle, public testing::WithParamInterface<bool> {
 protected:
  // With calls running in other threads, or without.
  [[noreturn]] void workAndExit(const std::function<void()>& atLast = [] {}) {
    const Working client = work();
    ofThisProcess = client.f;
    if (GetParam()) Callers::leave(client, 8);
    atLast();
    std::exit(HasFailure() ? 1 : 0);
  }
};

TEST_P(FinalizeAtExit, BeforeOpenSslIsCleanedUp) {
  expectEndsWell([&] { workAndExit([] { std::atexit(&finalizeAtExit<true>); }); });
  EXPECT_EQ(logged("management thread terminated"), 1U) << log();
}

TEST_P(FinalizeAtExit, AfterOpenSslWasCleanedUp) {
  expectEndsWell([&] {
    std::atexit(&finalizeAtExit<false>);
    workAndExit();
  });
  EXPECT_EQ(logged("management thread terminated"), 1U) << log();
}

TEST_P(FinalizeAtExit, ByAnotherLibraryBeforeAndAfter) {
  expectEndsWell([&] {
    EXPECT_EQ(atExitOfAnotherLibrary(&finalizeAtExit<false>), 0);
    workAndExit();
  });
  expectEndsWell([&] { workAndExit([] { atExitOfAnotherLibrary(&finalizeAtExit<true>); }); });
}

TEST_P(FinalizeAtExit, ByADestructor) {
  expectEndsWell([&] {
    lastWish = &finalizeAtExit<false>;
    workAndExit();
  });
}

INSTANTIATE_TEST_SUITE_P(LifeCycle, FinalizeAtExit, testing::Bool(), [](const auto& instance) {
  return instance.param ? std::string("WithCallsRunning") : std::string("Idle");
});

}  // namespace
}  // namespace p11ha::tests
