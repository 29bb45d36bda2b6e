#include "ha/session.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace p11ha::ha {
namespace {

class CountingOwner final : public SessionOwner {
 public:
  void closing(Session& session) override {
    closed.fetch_add(1);
    EXPECT_EQ(session.handle.load(), CK_INVALID_HANDLE);
  }
  std::atomic<std::size_t> closed{0};
};

CK_SESSION_HANDLE open(SessionTable& table, SessionOwner& owner, CK_FLAGS flags = CKF_SERIAL_SESSION) {
  Session* const session = table.open(owner, flags, [](Session&) {});
  return session == nullptr ? CK_INVALID_HANDLE : session->handle.load();
}

bool exists(SessionTable& table, CK_SESSION_HANDLE handle) {
  Session* const session = table.lock(handle);
  if (session != nullptr) table.unlock(*session);
  return session != nullptr;
}

TEST(SessionTable, OpensLocksAndCloses) {
  SessionTable table;
  CountingOwner owner;
  const CK_SESSION_HANDLE handle = open(table, owner, CKF_SERIAL_SESSION | CKF_RW_SESSION);
  ASSERT_NE(handle, CK_INVALID_HANDLE);
  Session* const session = table.lock(handle);
  ASSERT_NE(session, nullptr);
  EXPECT_TRUE(session->readWrite());
  EXPECT_EQ(session->owner.load(), &owner);
  table.unlock(*session);
  EXPECT_TRUE(table.close(handle));
  EXPECT_EQ(owner.closed, 1U);
  EXPECT_FALSE(exists(table, handle));
  EXPECT_FALSE(table.close(handle));
  EXPECT_EQ(owner.closed, 1U);
}

TEST(SessionTable, KnowsNoHandleThatItDidNotGive) {
  SessionTable table;
  CountingOwner owner;
  const CK_SESSION_HANDLE handle = open(table, owner);
  const std::vector<CK_SESSION_HANDLE> wrongOnes = {0, handle + 1, handle + SessionTable::kMaxSessions,
                                                    handle % SessionTable::kMaxSessions, ~CK_SESSION_HANDLE{0}};
  for (const CK_SESSION_HANDLE wrong : wrongOnes) {
    EXPECT_FALSE(exists(table, wrong)) << wrong;
    EXPECT_FALSE(table.close(wrong)) << wrong;
  }
  EXPECT_TRUE(exists(table, handle));
}

TEST(SessionTable, HandlesNeverRepeat) {
  SessionTable table;
  CountingOwner owner;
  std::set<CK_SESSION_HANDLE> handles;
  for (int i = 0; i < 5000; ++i) {
    const CK_SESSION_HANDLE handle = open(table, owner);
    EXPECT_TRUE(handles.insert(handle).second);
    if (i % 3 != 0) table.close(handle);
  }
}

TEST(SessionTable, ASessionClosedWhileLockedIsCleanedByItsHolder) {
  SessionTable table;
  CountingOwner owner;
  const CK_SESSION_HANDLE handle = open(table, owner);
  Session* const session = table.lock(handle);
  ASSERT_NE(session, nullptr);
  std::thread([&] { EXPECT_TRUE(table.close(handle)); }).join();
  EXPECT_EQ(owner.closed, 0U);
  EXPECT_EQ(table.count(owner).all, 0U);
  table.unlock(*session);
  EXPECT_EQ(owner.closed, 1U);
  EXPECT_FALSE(exists(table, handle));
}

// Of a session that SessionTable::lock() has locked, which the analysis cannot see.
void fill(Session& session, const ObjectPtr& object) P11HA_NO_THREAD_SAFETY_ANALYSIS {
  Operation& operation = session.operation(cryptoki::Op::Sign);
  operation.standing = Standing::Active;
  session.noteBegun(cryptoki::Op::Sign);
  operation.key = object;
  EXPECT_EQ(session.anyActive(), &operation);
  session.recent[0] = object;
  session.objects.push_back(object);
  session.search.found.push_back(1);
}

bool isClean(Session& session) P11HA_NO_THREAD_SAFETY_ANALYSIS {
  return session.anyActive() == nullptr && session.search.found.empty() && session.objects.empty() &&
         !session.recent[0];
}

TEST(SessionTable, WhatASessionHeldIsLetGo) {
  SessionTable table;
  CountingOwner owner;
  const auto object = std::make_shared<Object>(1, 0, Identity{});
  const CK_SESSION_HANDLE handle = open(table, owner);
  Session* session = table.lock(handle);
  ASSERT_NE(session, nullptr);
  fill(*session, object);
  table.unlock(*session);
  EXPECT_EQ(object.use_count(), 4);
  table.close(handle);
  EXPECT_EQ(object.use_count(), 1);

  session = table.lock(open(table, owner));
  ASSERT_NE(session, nullptr);
  EXPECT_TRUE(isClean(*session));
  table.unlock(*session);
}

TEST(SessionTable, ClosesAndCountsTheSessionsOfOneOwner) {
  SessionTable table;
  CountingOwner one;
  CountingOwner other;
  for (int i = 0; i < 100; ++i) {
    open(table, one, i < 40 ? CKF_SERIAL_SESSION | CKF_RW_SESSION : CKF_SERIAL_SESSION);
    open(table, other);
  }
  EXPECT_EQ(table.count(one).all, 100U);
  EXPECT_EQ(table.count(one).readWrite, 40U);
  EXPECT_EQ(table.closeAll(one), 100U);
  EXPECT_EQ(one.closed, 100U);
  EXPECT_EQ(other.closed, 0U);
  EXPECT_EQ(table.count(one).all, 0U);
  EXPECT_EQ(table.count(other).all, 100U);
  EXPECT_EQ(table.closeAll(one), 0U);
}

TEST(SessionTable, IsFullAtItsLimitAndUsableAgainAfterAClose) {
  SessionTable table;
  CountingOwner owner;
  CK_SESSION_HANDLE last = CK_INVALID_HANDLE;
  for (std::size_t i = 0; i < SessionTable::kMaxSessions; ++i) last = open(table, owner);
  EXPECT_NE(last, CK_INVALID_HANDLE);
  EXPECT_EQ(open(table, owner), CK_INVALID_HANDLE);
  EXPECT_TRUE(table.close(last));
  const CK_SESSION_HANDLE again = open(table, owner);
  EXPECT_NE(again, CK_INVALID_HANDLE);
  EXPECT_NE(again, last);
}

TEST(SessionTable, ManyThreadsOpenUseAndCloseTheirOwn) {
  constexpr unsigned kThreads = 8;
  SessionTable table;
  CountingOwner owner;
  std::array<std::set<CK_SESSION_HANDLE>, kThreads> handles;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 3000; ++i) {
        const CK_SESSION_HANDLE handle = open(table, owner);
        handles[thread].insert(handle);
        Session* const session = table.lock(handle);
        ASSERT_NE(session, nullptr);
        table.unlock(*session);
        EXPECT_TRUE(table.close(handle));
        EXPECT_FALSE(exists(table, handle));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<CK_SESSION_HANDLE> all;
  for (const auto& each : handles) all.insert(each.begin(), each.end());
  EXPECT_EQ(all.size(), kThreads * 3000U);
  EXPECT_EQ(owner.closed, kThreads * 3000U);
  EXPECT_EQ(table.count(owner).all, 0U);
}

TEST(SessionTable, EachSessionIsCleanedOnceHoweverManyUseAndCloseIt) {
  SessionTable table;
  CountingOwner owner;
  for (int round = 0; round < 300; ++round) {
    const CK_SESSION_HANDLE handle = open(table, owner);
    std::atomic<int> closers{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < 20; ++i) exists(table, handle);
        if (thread < 2 && table.close(handle)) ++closers;
        for (int i = 0; i < 20; ++i) exists(table, handle);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(closers.load(), 1);
    EXPECT_EQ(owner.closed, static_cast<std::size_t>(round) + 1);
  }
}

}  // namespace
}  // namespace p11ha::ha
