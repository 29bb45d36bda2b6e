#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "transport/server/costs.h"
#include "transport/server/crew.h"
#include "transport/server/served_token.h"

namespace p11ha::transport {
namespace {

using cryptoki::Fn;

// A crew lives as long as its process: so do the tests' own.
Crew& newCrew(unsigned cores, unsigned most = 64) { return *new Crew(cores, most); }  // NOLINT

template <class Condition>
void await(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    std::this_thread::yield();
  }
}

// Work that lasts until it is told to end.
struct Gauge {
  std::atomic<int> running{0};
  std::atomic<int> done{0};
  std::atomic<bool> released{false};

  Crew::Job job() {
    return [this] {
      ++running;
      while (!released) std::this_thread::yield();
      --running;
      ++done;
    };
  }
};

TEST(ServerCrew, SlowWorkWaitsForNone) {
  Crew& crew = newCrew(1);
  Gauge gauge;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(crew.slow(gauge.job()));
  await([&] { return gauge.running == 20; });
  gauge.released = true;
  await([&] { return gauge.done == 20; });
}

TEST(ServerCrew, HeavyWorkRunsOnAsManyThreadsAsThereAreCores) {
  Crew& crew = newCrew(2);
  Gauge gauge;
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(crew.heavy(gauge.job()));
  await([&] { return gauge.running == 2; });
  // Slow work is not behind it.
  std::atomic<bool> slow{false};
  EXPECT_TRUE(crew.slow([&] { slow = true; }));
  await([&] { return slow.load(); });
  EXPECT_EQ(gauge.running, 2);
  gauge.released = true;
  await([&] { return gauge.done == 6; });
}

TEST(ServerCrew, HeavyWorkThatHangsIsGoneRound) {
  Crew& crew = newCrew(1);
  Gauge hung;
  EXPECT_TRUE(crew.heavy(hung.job()));
  await([&] { return hung.running == 1; });
  std::atomic<int> other{0};
  EXPECT_TRUE(crew.heavy([&] { ++other; }));
  crew.tick();
  crew.tick();
  await([&] { return other == 1; });
  hung.released = true;
  await([&] { return hung.done == 1; });
}

TEST(ServerCrew, HasNoMoreThreadsThanItMay) {
  Crew& crew = newCrew(1, 3);
  Gauge gauge;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(crew.slow(gauge.job()));
  await([&] { return gauge.running == 3; });
  gauge.released = true;
  await([&] { return gauge.done == 5; });
}

TEST(ServerCosts, AreLearnt) {
  Costs costs;
  EXPECT_EQ(costs.of(Fn::Sign), Cost::Cheap);
  for (int i = 0; i < 50; ++i) costs.took(Fn::Sign, 600'000);
  EXPECT_EQ(costs.of(Fn::Sign), Cost::Heavy);
  for (int i = 0; i < 50; ++i) costs.took(Fn::Sign, 100'000'000);
  EXPECT_EQ(costs.of(Fn::Sign), Cost::Slow);
  for (int i = 0; i < 100; ++i) costs.took(Fn::Sign, 1'000);
  EXPECT_EQ(costs.of(Fn::Sign), Cost::Cheap);
  EXPECT_EQ(costs.of(Fn::GenerateRandom), Cost::Cheap);
}

TEST(ServerCosts, WhatMayWaitForSomethingNeverHoldsUpTheReader) {
  const Costs costs;
  for (const Fn fn : {Fn::GenerateKeyPair, Fn::Login, Fn::Logout, Fn::CloseSession, Fn::CloseAllSessions})
    EXPECT_EQ(costs.of(fn), Cost::Slow);
}

TEST(ServedTokenTest, WhatNeedsALogin) {
  for (const Fn fn : {Fn::SignInit, Fn::Sign, Fn::FindObjectsInit, Fn::GetAttributeValue, Fn::GenerateKey,
                      Fn::CreateObject, Fn::DigestKey})
    EXPECT_TRUE(needsLogin(fn));
  for (const Fn fn : {Fn::Login, Fn::Logout, Fn::GetSessionInfo, Fn::CloseSession, Fn::GenerateRandom, Fn::DigestInit,
                      Fn::GetTokenInfo, Fn::OpenSession})
    EXPECT_FALSE(needsLogin(fn));
}

}  // namespace
}  // namespace p11ha::transport
