#include "base/gate.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>
#include <vector>

namespace p11ha::base {
namespace {

Monotonic inSeconds(int seconds) { return std::chrono::steady_clock::now() + std::chrono::seconds(seconds); }

TEST(Gate, LeadsToWhatIsBehindItUntilItIsClosed) {
  int behind = 0;
  Gate<int> gate;
  EXPECT_EQ(gate.enter().behind, nullptr);
  gate.open(behind);
  const Gate<int>::Place place = gate.enter();
  EXPECT_EQ(place.behind, &behind);
  gate.leave(*place.shard);
  EXPECT_EQ(gate.close(), &behind);
  EXPECT_EQ(gate.close(), nullptr);
  EXPECT_EQ(gate.enter().behind, nullptr);
  EXPECT_TRUE(gate.waitEmpty(inSeconds(-1)));
}

TEST(Gate, TellsThatSomebodyIsStillInside) {
  int behind = 0;
  Gate<int> gate;
  gate.open(behind);
  std::latch entered(1);
  std::latch leave(1);
  std::thread inside([&] {
    const Gate<int>::Place place = gate.enter();
    ASSERT_NE(place.behind, nullptr);
    entered.count_down();
    leave.wait();
    gate.leave(*place.shard);
  });
  entered.wait();
  gate.close();
  EXPECT_FALSE(gate.waitEmpty(inSeconds(-1)));
  leave.count_down();
  EXPECT_TRUE(gate.waitEmpty(inSeconds(60)));
  inside.join();
}

TEST(Gate, CountsOneThreadThatEnteredTwiceTwice) {
  int behind = 0;
  Gate<int> gate;
  gate.open(behind);
  const Gate<int>::Place first = gate.enter();
  const Gate<int>::Place second = gate.enter();
  ASSERT_NE(first.behind, nullptr);
  ASSERT_NE(second.behind, nullptr);
  gate.close();
  gate.leave(*first.shard);
  EXPECT_FALSE(gate.waitEmpty(inSeconds(-1)));
  gate.leave(*second.shard);
  EXPECT_TRUE(gate.waitEmpty(inSeconds(-1)));
}

TEST(Gate, AfterWaitEmptyNobodyIsInsideAnyMore) {
  constexpr int kThreads = 24;  // more than there are shards
  for (int round = 0; round < 20; ++round) {
    int behind = 0;
    Gate<int> gate;
    gate.open(behind);
    std::atomic<int> inside{0};
    std::latch running(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        bool first = true;
        for (Gate<int>::Place place = gate.enter(); place.behind != nullptr; place = gate.enter()) {
          ++inside;
          if (first) running.count_down();
          first = false;
          --inside;
          gate.leave(*place.shard);
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
