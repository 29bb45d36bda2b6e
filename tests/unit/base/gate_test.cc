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
  Gate::Shard* const place = gate.enter();
  ASSERT_NE(place, nullptr);
  gate.leave(*place);
  gate.close();
  gate.close();
  EXPECT_TRUE(gate.closed());
  EXPECT_EQ(gate.enter(), nullptr);
  EXPECT_TRUE(gate.waitEmpty(inSeconds(-1)));
}

TEST(Gate, TellsThatSomebodyIsStillInside) {
  Gate gate;
  std::latch entered(1);
  std::latch leave(1);
  std::thread inside([&] {
    Gate::Shard* const place = gate.enter();
    ASSERT_NE(place, nullptr);
    entered.count_down();
    leave.wait();
    gate.leave(*place);
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
  Gate::Shard* const first = gate.enter();
  Gate::Shard* const second = gate.enter();
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  gate.close();
  gate.leave(*first);
  EXPECT_FALSE(gate.waitEmpty(inSeconds(-1)));
  gate.leave(*second);
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
        while (Gate::Shard* const place = gate.enter()) {
          ++inside;
          if (first) running.count_down();
          first = false;
          --inside;
          gate.leave(*place);
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
