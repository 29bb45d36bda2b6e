// libp11ha.so over SoftHSM as an application has it, in a child process.
#pragma once

#include <atomic>
#include <fstream>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "tests/lifecycle/child.h"
#include "tests/module/group_fixture.h"

namespace p11ha::tests {

/// A group of three SoftHSM tokens. The body of a test runs in a child process, where alone anything is loaded.
class LifeCycle : public GroupTest {
 protected:
  LifeCycle() { configure(onSoftHsm()); }

  std::string onSoftHsm(const std::string& ha = "   HAOnly = 1;\n") const {
    return configuration(theGroup(), ha,
                         std::string("   Module00Path = ") + kSoftHsmModule + ";\n" + "   FinalizeWait = 60000;\n");
  }
  /// Through the module that fails when told to; C_Finalize does not wait for long.
  std::string onFailing(const std::string& ha = "   HAOnly = 1;\n") const {
    return configuration(theGroup(), ha, theModule() + "   FinalizeWait = 300;\n");
  }
  void resetOnFork(bool reset) const {
    std::ofstream(store.configuration(), std::ios::app)
        << "library.reset_on_fork = " << (reset ? "true" : "false") << '\n';
  }

  /// Initialised, a session on the group open and logged in.
  struct Working : Client {
    explicit Working(CK_FUNCTION_LIST_3_0_PTR functions) : Client(functions) {
      EXPECT_EQ(f->C_Initialize(nullptr), CKR_OK);
      session = open(0);
      EXPECT_EQ(login(session), CKR_OK);
      EXPECT_EQ(createKey(session, key), CKR_OK);
      EXPECT_EQ(sign(), CKR_OK);
    }
    CK_RV sign() const { return Client::sign(session, key); }
    CK_SESSION_HANDLE session = 0;
    CK_OBJECT_HANDLE key = 0;
  };
  Working work() { return Working(module()); }

  /// Does all that an application does, in a process that has not done so yet.
  void expectWorks() {
    const Working client = work();
    EXPECT_EQ(client.random(client.session), CKR_OK);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  }

  /// How many calls of that name are held on all members.
  std::size_t held(const std::string& function) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < store.serials().size(); ++i) {
      std::istringstream lines(tell("waiting " + member(i)));
      std::string name;
      for (std::size_t number = 0; lines >> name >> number;) count += name == function ? number : 0;
    }
    return count;
  }
  bool awaitHeld(const std::string& function, std::size_t calls) const {
    return await([&] { return held(function) == calls; }, std::to_string(calls) + " x " + function);
  }
};

/// Threads that make calls on sessions of their own until one of them is told that the library is not initialised.
class Callers {
 public:
  enum class Key { Private, Public };

  /// Returns when each has made a call.
  Callers(const Client& client, std::size_t count, Key key = Key::Private)
      : client_(client), begun_(static_cast<std::ptrdiff_t>(count)) {
    for (std::size_t i = 0; i < count; ++i) threads_.emplace_back([this, key] { call(key == Key::Private); });
    begun_.wait();
  }
  ~Callers() { join(); }
  Callers(const Callers&) = delete;
  Callers& operator=(const Callers&) = delete;

  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  /// Threads that go on as long as the process does.
  static void leave(const Client& client, std::size_t count) {
    static auto& left = *new std::vector<Callers*>;  // where leak checkers look, after the destructors too
    left.push_back(new Callers(client, count));
    for (std::thread& thread : left.back()->threads_) thread.detach();
  }
  /// They end, though the library does not.
  void stop() {
    stopping_.store(true);
    join();
  }

 private:
  void call(bool isPrivate) {
    const CK_SESSION_HANDLE session = client_.open(0);
    CK_OBJECT_HANDLE key = 0;
    EXPECT_EQ(client_.createKey(session, key, isPrivate), CKR_OK);
    EXPECT_EQ(client_.sign(session, key), CKR_OK);
    begun_.count_down();
    CK_RV rv = CKR_OK;
    while (rv == CKR_OK && !stopping_.load()) rv = client_.sign(session, key);
    EXPECT_TRUE(rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED) << std::hex << rv;
  }

  const Client client_;
  std::latch begun_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace p11ha::tests
