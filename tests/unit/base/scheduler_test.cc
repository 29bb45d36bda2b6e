#include "base/scheduler.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <future>
#include <latch>
#include <new>

namespace p11ha::base {
namespace {

Monotonic in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }
constexpr std::chrono::hours kNever{1};

TEST(ThreadScheduler, RunsInTheOrderOfPosting) {
  ThreadScheduler scheduler;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) scheduler.post([&order, i] { order.push_back(i); });
  scheduler.stop();
  ASSERT_EQ(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(ThreadScheduler, RunsTimersInTheOrderOfTheirTimes) {
  ThreadScheduler scheduler;
  std::vector<int> order;
  std::promise<void> last;
  const Monotonic start = in(std::chrono::milliseconds(5));
  scheduler.at(start + std::chrono::milliseconds(3), [&] {
    order.push_back(3);
    last.set_value();
  });
  scheduler.at(start + std::chrono::milliseconds(1), [&] { order.push_back(1); });
  scheduler.at(start + std::chrono::milliseconds(2), [&] { order.push_back(2); });
  last.get_future().wait();
  EXPECT_GE(std::chrono::steady_clock::now(), start + std::chrono::milliseconds(3));
  scheduler.stop();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(ThreadScheduler, TimersOfOneTimeRunInTheOrderOfTheirMaking) {
  ThreadScheduler scheduler;
  std::vector<int> order;
  std::promise<void> last;
  const Monotonic when = in(std::chrono::milliseconds(5));
  for (int i = 0; i < 10; ++i) scheduler.at(when, [&order, i] { order.push_back(i); });
  scheduler.at(when, [&] { last.set_value(); });
  last.get_future().wait();
  scheduler.stop();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(ThreadScheduler, ForgetsACancelledTimer) {
  ThreadScheduler scheduler;
  bool ran = false;
  std::promise<void> later;
  const Monotonic when = in(std::chrono::milliseconds(20));
  const Scheduler::TimerId timer = scheduler.at(when, [&] { ran = true; });
  scheduler.at(when + std::chrono::milliseconds(1), [&] { later.set_value(); });
  scheduler.cancel(timer);
  scheduler.cancel(timer);
  scheduler.cancel(timer + 1000);
  later.get_future().wait();
  scheduler.stop();
  EXPECT_FALSE(ran);
}

TEST(ThreadScheduler, ADueTimerIsCancelledByTheTimerBeforeIt) {
  ThreadScheduler scheduler;
  bool ran = false;
  std::promise<void> later;
  scheduler.post([&] {  // all are due when the first is looked at
    const Monotonic when = in(std::chrono::milliseconds(-10));
    auto second = std::make_shared<Scheduler::TimerId>(0);
    scheduler.at(when, [&, second] { scheduler.cancel(*second); });
    *second = scheduler.at(when, [&] { ran = true; });
    scheduler.at(when, [&] { later.set_value(); });
  });
  later.get_future().wait();
  scheduler.stop();
  EXPECT_FALSE(ran);
}

TEST(ThreadScheduler, ADueTimerIsCancelledByAPostedTask) {
  ThreadScheduler scheduler;
  bool ran = false;
  std::promise<void> later;
  scheduler.post([&] {
    const Scheduler::TimerId timer = scheduler.at(in(std::chrono::milliseconds(-10)), [&] { ran = true; });
    scheduler.post([&, timer] { scheduler.cancel(timer); });
    scheduler.at(in(std::chrono::milliseconds(-5)), [&] { later.set_value(); });
  });
  later.get_future().wait();
  scheduler.stop();
  EXPECT_FALSE(ran);
}

TEST(ThreadScheduler, ATimerThatArmsItselfForNowKeepsNothingWaiting) {
  ThreadScheduler scheduler;
  std::atomic<bool> enough{false};
  std::promise<void> ran;
  Task again = [&] {
    if (!enough) scheduler.at(in(std::chrono::milliseconds(-10)), [&] { again(); });
  };
  scheduler.post([&] { again(); });
  scheduler.post([&] { scheduler.post([&] { ran.set_value(); }); });
  ran.get_future().wait();
  enough = true;
  scheduler.stop();
}

TEST(ThreadScheduler, AnEarlierTimerIsNotHeldUpByALaterOne) {
  ThreadScheduler scheduler;
  std::promise<void> ran;
  scheduler.at(in(kNever), [] {});
  scheduler.at(in(std::chrono::milliseconds(1)), [&] { ran.set_value(); });
  EXPECT_EQ(ran.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
}

TEST(ThreadScheduler, StopRunsWhatWasPostedAndDropsTimersThatAreNotDue) {
  ThreadScheduler scheduler;
  std::latch release(1);
  int ran = 0;
  bool timer = false;
  scheduler.at(in(kNever), [&] { timer = true; });
  scheduler.post([&] { release.wait(); });
  for (int i = 0; i < 3; ++i) scheduler.post([&] { ++ran; });
  std::thread stopper([&] { scheduler.stop(); });
  release.count_down();
  stopper.join();
  EXPECT_EQ(ran, 3);
  EXPECT_FALSE(timer);
  scheduler.stop();
}

TEST(ThreadScheduler, TasksMayPostTasks) {
  ThreadScheduler scheduler;
  std::promise<void> inner;
  scheduler.post([&] { scheduler.post([&] { inner.set_value(); }); });
  EXPECT_EQ(inner.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
}

TEST(ThreadScheduler, ItsThreadTakesNoSignals) {
  ThreadScheduler scheduler;
  bool blocked = false;
  scheduler.post([&] {
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, nullptr, &set);
    blocked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGALRM) == 1;
  });
  scheduler.stop();
  EXPECT_TRUE(blocked);
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGTERM), 0);
}

TEST(ThreadWorkers, NoTaskWaitsForAnother) {
  ThreadWorkers workers;
  std::latch all(3);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(workers.run([&] { all.arrive_and_wait(); }));
  EXPECT_TRUE(workers.drain(in(std::chrono::minutes(1))));
}

TEST(ThreadWorkers, DrainTellsWhetherSomethingStillRuns) {
  ThreadWorkers workers;
  EXPECT_TRUE(workers.drain(in(std::chrono::milliseconds(-1))));
  std::latch release(1);
  ASSERT_TRUE(workers.run([&] { release.wait(); }));
  EXPECT_FALSE(workers.drain(in(std::chrono::milliseconds(-1))));
  EXPECT_FALSE(workers.drain(in(std::chrono::milliseconds(1))));
  release.count_down();
  EXPECT_TRUE(workers.drain(in(std::chrono::minutes(1))));
}

TEST(ThreadWorkers, ATaskThatThereIsNoMemoryForIsNotRunAndNotWaitedFor) {
  bool full = false;
  struct Large {
    explicit Large(const bool& flag) : noMemory(&flag) {}
    Large(const Large& other) : noMemory(other.noMemory) {
      if (*noMemory) throw std::bad_alloc();
    }
    void operator()() const { ADD_FAILURE() << "it was run"; }
    const bool* noMemory;
  };
  const Task task = Large(full);
  full = true;
  ThreadWorkers workers;
  EXPECT_FALSE(workers.run(task));
  EXPECT_TRUE(workers.idle());
}

TEST(ThreadWorkers, AfterDrainNothingOfATaskIsLeft) {
  ThreadWorkers workers;
  auto held = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = held;
  ASSERT_TRUE(workers.run([held = std::move(held)] { ++*held; }));
  ASSERT_TRUE(workers.drain(in(std::chrono::minutes(1))));
  EXPECT_TRUE(watch.expired());
}

TEST(ThreadWorkers, AfterDrainItsThreadHasEndedToo) {
  // What a library does at the end of a thread.
  static std::atomic<int> ends{0};
  struct AtItsEnd {
    ~AtItsEnd() { ++ends; }
  };
  ThreadWorkers workers;
  for (int round = 1; round <= 200; ++round) {
    ASSERT_TRUE(workers.run([] {
      thread_local const AtItsEnd atItsEnd;
      static_cast<void>(atItsEnd);
    }));
    ASSERT_TRUE(workers.drain(in(std::chrono::minutes(1))));
    ASSERT_EQ(ends, round);
  }
}

TEST(ThreadWorkers, MayGoBeforeATaskThatStillRuns) {
  auto workers = std::make_unique<ThreadWorkers>();
  auto release = std::make_shared<std::latch>(1);
  auto done = std::make_shared<std::promise<void>>();
  std::future<void> over = done->get_future();
  ASSERT_TRUE(workers->run([release, done] {
    release->wait();
    done->set_value();
  }));
  EXPECT_FALSE(workers->drain(in(std::chrono::milliseconds(-1))));
  workers.reset();
  release->count_down();
  EXPECT_EQ(over.wait_for(std::chrono::seconds(60)), std::future_status::ready);
}

}  // namespace
}  // namespace p11ha::base
