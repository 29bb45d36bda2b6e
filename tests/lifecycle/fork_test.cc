// fork: the child initialises for itself, whatever the parent's threads were doing, and the parent goes on.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "tests/lifecycle/lifecycle_fixture.h"

namespace p11ha::tests {
namespace {

// SoftHSM notices by itself that it was forked, or does not.
class Fork : public LifeCycle, public testing::WithParamInterface<bool> {
 protected:
  Fork() { resetOnFork(GetParam()); }

  // What a child of a process that works finds, and can do.
  void expectFreshStart(const Working& inherited) {
    CK_INFO info{};
    EXPECT_EQ(inherited.f->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT_EQ(inherited.sign(), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT_EQ(inherited.f->C_Finalize(nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
    ASSERT_EQ(inherited.f->C_Initialize(nullptr), CKR_OK);
    EXPECT_EQ(inherited.random(inherited.session), CKR_SESSION_HANDLE_INVALID);
    const CK_SESSION_HANDLE session = inherited.open(0);
    CK_OBJECT_HANDLE key = 0;
    EXPECT_EQ(inherited.createKey(session, key), CKR_USER_NOT_LOGGED_IN) << "the login is the parent's";
    EXPECT_EQ(inherited.login(session, "87654321"), CKR_PIN_INCORRECT);
    EXPECT_EQ(inherited.login(session), CKR_OK);
    EXPECT_EQ(inherited.createKey(session, key), CKR_OK);
    EXPECT_EQ(static_cast<const Client&>(inherited).sign(session, key), CKR_OK);
    EXPECT_EQ(inherited.f->C_Finalize(nullptr), CKR_OK);
  }
};

TEST_P(Fork, BeforeTheFirstUse) {
  expectEndsWell([&] {
    module();
    expectForkEndsWell([&] { expectWorks(); });
    expectWorks();
  });
}

TEST_P(Fork, AfterUseAndInAGrandchild) {
  expectEndsWell([&] {
    const Working client = work();
    expectForkEndsWell([&] {
      expectFreshStart(client);
      const Working own = work();
      expectForkEndsWell([&] { expectFreshStart(own); });
      EXPECT_EQ(own.sign(), CKR_OK);
      EXPECT_EQ(own.f->C_Finalize(nullptr), CKR_OK);
    });
    EXPECT_EQ(client.sign(), CKR_OK) << "what the child ends is its own";
    expectForkEndsWell([&] { expectForkEndsWell([&] { expectFreshStart(client); }); });
    EXPECT_EQ(client.sign(), CKR_OK);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    expectForkEndsWell([&] { expectWorks(); });
  });
}

TEST_P(Fork, AChildThatUsesNothingEndsAsItLikes) {
  expectEndsWell([&] {
    const Working client = work();
    expectForkEndsWell([] { std::exit(0); });
    expectForkEndsWell([] { _exit(0); });
    EXPECT_EQ(client.sign(), CKR_OK);
  });
  EXPECT_EQ(logged("management thread terminated"), 0U) << "no child says it for the parent";
}

// Holds write locks on the objects of all tokens, as another process that uses them does.
class FileLocks {
 public:
  explicit FileLocks(const std::filesystem::path& folder) {
    int toParent[2];
    int toChild[2];
    if (pipe(toParent) != 0 || pipe(toChild) != 0) std::abort();
    holder_ = fork();
    if (holder_ == 0) {
      close(toChild[1]);
      for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.path().extension() != ".object") continue;
        struct flock whole {};
        whole.l_type = F_WRLCK;
        if (fcntl(open(entry.path().c_str(), O_RDWR), F_SETLK, &whole) != 0) _exit(1);
      }
      char byte = 0;
      if (write(toParent[1], &byte, 1) != 1) _exit(1);
      _exit(read(toChild[0], &byte, 1) == 0 ? 0 : 1);  // until the other end is closed
    }
    close(toChild[0]);
    release_ = toChild[1];
    char byte = 0;
    EXPECT_EQ(read(toParent[0], &byte, 1), 1);
    close(toParent[0]);
    close(toParent[1]);
  }
  ~FileLocks() { release(); }
  FileLocks(const FileLocks&) = delete;
  FileLocks& operator=(const FileLocks&) = delete;

  void release() {
    if (release_ < 0) return;
    forget();
    int status = -1;
    waitpid(holder_, &status, 0);
    EXPECT_EQ(status, 0);
  }
  /// In a child of fork, so that it does not keep the holder.
  void forget() { close(std::exchange(release_, -1)); }

  static bool somebodyWaits() {
    std::ifstream locks("/proc/locks");
    const std::string pid = " " + std::to_string(getpid()) + " ";
    for (std::string line; std::getline(locks, line);) {
      if (line.find("-> ") != std::string::npos && line.find(pid) != std::string::npos) return true;
    }
    return false;
  }

 private:
  pid_t holder_ = -1;
  int release_ = -1;
};

TEST_P(Fork, WhileACallIsInsideTheModuleAndHoldsItsLocks) {
  expectEndsWell([&] {
    const Working client = work();
    CK_MECHANISM generate{CKM_AES_KEY_GEN, nullptr, 0};
    Template wanted{flag(CKA_TOKEN), flag(CKA_EXTRACTABLE), {CKA_VALUE_LEN, &aesLength, sizeof aesLength}};
    CK_OBJECT_HANDLE key = 0;
    ASSERT_EQ(client.f->C_GenerateKey(client.session, &generate, wanted.data(), wanted.size(), &key), CKR_OK);
    FileLocks locks(store.folder() / "tokens");
    std::thread caller([&] {
      const std::string changed = "changed";
      CK_ATTRIBUTE label = text(CKA_LABEL, changed);
      EXPECT_EQ(client.f->C_SetAttributeValue(client.session, key, &label, 1), CKR_OK);
    });
    await([] { return FileLocks::somebodyWaits(); }, "a call that waits in SoftHSM");
    expectForkEndsWell(
        [&] {
          locks.forget();
          expectFreshStart(client);
          // In a child of this child, its own module is as any other.
          const Working own = work();
          expectForkEndsWell([&] { expectFreshStart(own); });
          EXPECT_EQ(own.sign(), CKR_OK);
        },
        [&] { locks.release(); });
    caller.join();
    EXPECT_EQ(client.sign(), CKR_OK);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  });
}

// With a key that is not private: to use that takes no random numbers, and OpenSSL's own locks around those, which a
// child cannot do without, are not held.
TEST_P(Fork, WhileThreadsAreInsideTheModule) {
  expectEndsWell([&] {
    const Working client = work();
    Callers callers(client, 4, Callers::Key::Public);
    for (int i = 0; i < 12; ++i) expectForkEndsWell([&] { expectFreshStart(client); });
    callers.stop();
    EXPECT_EQ(client.sign(), CKR_OK);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  });
}

TEST_P(Fork, WhileAThreadIsInMalloc) {
  expectEndsWell([&] {
    const Working client = work();
    std::atomic<bool> stop{false};
    std::vector<std::thread> busy;
    for (int i = 0; i < 4; ++i) {
      busy.emplace_back([&] {
        while (!stop.load()) std::vector<std::vector<char>>(64, std::vector<char>(512)).clear();
      });
    }
    for (int i = 0; i < 20; ++i) expectForkEndsWell([&] { expectFreshStart(client); });
    stop.store(true);
    for (std::thread& thread : busy) thread.join();
    EXPECT_EQ(client.sign(), CKR_OK);
  });
}

TEST_P(Fork, WhileAThreadWaitsForASlotEvent) {
  expectEndsWell([&] {
    const Working client = work();
    std::atomic<bool> waits{false};
    std::thread waiter([&] {
      CK_SLOT_ID slot = 0;
      waits.store(true);
      EXPECT_EQ(client.f->C_WaitForSlotEvent(0, &slot, nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
    });
    await([&] { return waits.load(); }, "a thread that waits");
    expectForkEndsWell([&] { expectFreshStart(client); });
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    waiter.join();
  });
}

INSTANTIATE_TEST_SUITE_P(LifeCycle, Fork, testing::Bool(), [](const auto& instance) {
  return instance.param ? std::string("SoftHsmNotices") : std::string("SoftHsmDoesNotNotice");
});

using ForkInACall = LifeCycle;

TEST_F(ForkInACall, OfInitialize) {
  configure(onFailing());
  expectEndsWell([&] {
    auto* f = module();
    tell("hang any C_Initialize");
    std::thread initializing([&] { EXPECT_EQ(f->C_Initialize(nullptr), CKR_OK); });
    await([&] { return tell("waiting any").find("C_Initialize") != std::string::npos; }, "a C_Initialize that is held");
    expectForkEndsWell([&] { expectWorks(); }, [&] { tell("heal"); });
    initializing.join();
    EXPECT_EQ(f->C_Finalize(nullptr), CKR_OK);
  });
}

TEST_F(ForkInACall, OfFinalize) {
  configure(onFailing());
  expectEndsWell([&] {
    const Working client = work();
    for (std::size_t i = 0; i < 3; ++i) tell("hang " + member(i) + " C_GenerateRandom");
    std::thread stuck([&] { client.random(client.session); });
    awaitHeld("C_GenerateRandom", 1);
    std::thread finalizing([&] { EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK); });
    CK_INFO info{};
    await([&] { return client.f->C_GetInfo(&info) == CKR_CRYPTOKI_NOT_INITIALIZED; }, "C_Finalize that waits");
    expectForkEndsWell([&] { expectWorks(); }, [&] { tell("heal"); });
    finalizing.join();
    stuck.join();
    expectWorks();
  });
}

}  // namespace
}  // namespace p11ha::tests
