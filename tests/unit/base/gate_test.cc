#include "base/gate.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>
#include <vector>

namespace p11ha::base {
namespace {

Monotonic inSeconds(int seconds) { return std::chrono::steady_clock::now() + std::chrono::seconds(seconds); }

TEST(Gate, IsOpenUntilItIsClosed) {
  Gate gate;
  EXPECT_FALSE(gate.closed());
  ASSERT_TRUE(gate.enter());
  gate.leave();
  gate.close();
  gate.close();
  EXPECT_TRUE(gate.closed());
  EXPECT_FALSE(gate.enter());
  EXPECT_TRUE(gate.waitEmpty(inSeconds(-1)));
}

TEST(Gate, TellsThatSomebodyIsStillInside) {
  Gate gate;
  std::latch entered(1);
  std::latch leave(1);
  std::thread inside([&] {
    ASSERT_TRUE(gate.enter());
    entered.count_down();
    leave.wait();
    gate.leave();
  });
  entered.wait();
  gate.close();
  EXPECT_FALSE(gate.waitEmpty(inSeconds(-1)));
  leave.count_down();
  EXPECT_TRUE(gate.waitEmpty(inSeconds(60)));
  inside.join();
}

TEST(Gate, CountsOneThreadThatEnteredTwiceTwice) {
  Gate gate;
  ASSERT_TRUE(gate.enter());
  ASSERT_TRUE(gate.enter());
  gate.close();
  gate.leave();
  EXPECT_FALSE(gate.waitEmpty(inSeconds(-1)));
  gate.leave();
  EXPECT_TRUE(gate.waitEmpty(inSeconds(-1)));
}

TEST(Gate, AfterWaitEmptyNobodyIsInsideAnyMore) {
  constexpr int kThreads = 24;  // more than there are shards
  for (int round = 0; round < 20; ++round) {
    Gate gate;
    std::atomic<int> inside{0};
    std::latch running(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        bool first = true;
        while (gate.enter()) {
          ++inside;
          if (first) running.count_down();
          first = false;
          --inside;
          gate.leave();
        }
      });
    }
    running.wait();
    gate.close();
    EXPECT_TRUE(gate.waitEmpty(inSeconds(60)));
    EXPECT_EQ(inside.load(), 0);
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(gate.waitEmpty(inSeconds(-1)));
  }
}

}  // namespace
}  // namespace p11ha::base
