// pthread_cancel: a call is done in full; only where a thread waits for slot events does it end at once.
#include <pthread.h>
#include <unistd.h>

#include "tests/lifecycle/lifecycle_fixture.h"

namespace p11ha::tests {
namespace {

using Cancel = LifeCycle;

// A thread to be cancelled, which makes calls until it is.
class Cancelled {
 public:
  explicit Cancelled(std::function<void()> body) : body_(std::move(body)) {
    EXPECT_EQ(pthread_create(&thread_, nullptr, &Cancelled::run, this), 0);
  }
  Cancelled(const Cancelled&) = delete;
  Cancelled& operator=(const Cancelled&) = delete;

  int tid() const {
    await([&] { return tid_.load() != 0; }, "the thread");
    return tid_.load();
  }
  void cancel() { EXPECT_EQ(pthread_cancel(thread_), 0); }
  void expectCancelled() {
    void* result = nullptr;
    EXPECT_EQ(pthread_join(thread_, &result), 0);
    EXPECT_EQ(result, PTHREAD_CANCELED);
  }

 private:
  static void* run(void* self) {
    auto* const own = static_cast<Cancelled*>(self);
    own->tid_.store(gettid());
    own->body_();
    return nullptr;
  }
  std::function<void()> body_;
  std::atomic<int> tid_{0};
  pthread_t thread_{};
};

TEST_F(Cancel, OfACallInAModuleWaitsForItsAnswer) {
  configure(onFailing());
  expectEndsWell([&] {
    const Working client = work();
    for (std::size_t i = 0; i < 3; ++i) tell("hang " + member(i) + " C_GenerateRandom");
    std::atomic<bool> answered{false};
    Cancelled thread([&] {
      EXPECT_EQ(client.random(client.session), CKR_OK);
      answered.store(true);
      pthread_testcancel();
    });
    awaitHeld("C_GenerateRandom", 1);
    thread.cancel();
    tell("heal");
    thread.expectCancelled();
    EXPECT_TRUE(answered.load());
    EXPECT_EQ(client.sign(), CKR_OK) << "its session is free";
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  });
}

TEST_F(Cancel, AmidstCallsThatReadAndWriteFiles) {
  expectEndsWell([&] {
    const Working client = work();
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> calls{0};
      Cancelled thread([&] {
        const CK_SESSION_HANDLE session = client.open(0);
        CK_MECHANISM generate{CKM_AES_KEY_GEN, nullptr, 0};
        Template wanted{flag(CKA_TOKEN), flag(CKA_EXTRACTABLE), {CKA_VALUE_LEN, &aesLength, sizeof aesLength}};
        for (;; calls.fetch_add(1)) {
          CK_OBJECT_HANDLE key = 0;
          EXPECT_EQ(client.f->C_GenerateKey(session, &generate, wanted.data(), wanted.size(), &key), CKR_OK);
          EXPECT_EQ(client.f->C_DestroyObject(session, key), CKR_OK);
          pthread_testcancel();
        }
      });
      await([&] { return calls.load() > 1; }, "calls");
      thread.cancel();
      thread.expectCancelled();
      EXPECT_EQ(client.sign(), CKR_OK);
    }
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  });
}

TEST_F(Cancel, OfAThreadThatWaitsForSlotEventsEndsIt) {
  expectEndsWell([&] {
    const Working client = work();
    for (int round = 0; round < 3; ++round) {
      Cancelled thread([&] {
        CK_SLOT_ID slot = 0;
        client.f->C_WaitForSlotEvent(0, &slot, nullptr);
      });
      awaitAsleep(thread.tid());
      thread.cancel();
      thread.expectCancelled();
    }
    CK_SLOT_ID slot = 0;
    EXPECT_EQ(client.f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, nullptr), CKR_NO_EVENT);
    Cancelled another([&] {
      EXPECT_EQ(client.f->C_WaitForSlotEvent(0, &slot, nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
      for (;;) pause();
    });
    awaitAsleep(another.tid());
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK) << "nobody is missing";
    another.cancel();
    another.expectCancelled();
  });
}

}  // namespace
}  // namespace p11ha::tests
