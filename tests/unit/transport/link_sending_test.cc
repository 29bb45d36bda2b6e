// Requests on their way, and who sends them.
#include <sys/socket.h>

#include <thread>

#include "tests/unit/transport/link_calls.h"

namespace p11ha::transport {
namespace {

// What others got ready while somebody was sending goes in one piece.
TEST(Link, WhatIsReadyIsSentTogether) {
  constexpr std::size_t kCalls = 50;
  LinkPeer peer;
  const int little = 1;
  setsockopt(peer.socket(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  // Fills the socket, so that its sender has to wait.
  std::vector<CK_BYTE> data(4UL << 20, 1);
  const Call large = makeCall<Fn::DigestUpdate>(CK_ULONG{1}, data.data(), CK_ULONG{data.size()});
  auto first = begin(peer.link(), large);
  std::this_thread::sleep_for(50ms);
  std::vector<std::unique_ptr<Asked>> asked;
  std::vector<std::future<LinkAnswer>> answers;
  for (std::size_t i = 0; i < kCalls; ++i) {
    asked.push_back(std::make_unique<Asked>(i));
    answers.push_back(begin(peer.link(), asked.back()->call));
  }
  std::this_thread::sleep_for(300ms);
  const auto request = peer.request();
  const std::size_t before = peer.reads();
  std::vector<LinkPeer::Received> requests;
  for (std::size_t i = 0; i < kCalls; ++i) requests.push_back(peer.request());
  EXPECT_LE(peer.reads() - before, 3U);
  peer.answer(request, CKR_OK);
  for (const auto& each : requests) peer.answer(each, CKR_OK, saying(1));
  expectAnswered(first.get());
  for (auto& answer : answers) expectAnswered(answer.get());
}

// Nobody takes the first byte: the second call never gets as far as the socket.
TEST(Link, WhatWaitedBehindAStuckSenderWasNotSent) {
  LinkPeer peer({.silence = 300ms});
  std::vector<CK_BYTE> data(8UL << 20, 1);
  const Call large = makeCall<Fn::DigestUpdate>(CK_ULONG{1}, data.data(), CK_ULONG{data.size()});
  auto stuck = begin(peer.link(), large);
  std::this_thread::sleep_for(50ms);
  Asked asked(1);
  auto behind = begin(peer.link(), asked.call);
  expectFate(stuck.get(), Fate::Unknown);
  expectFate(behind.get(), Fate::NotSent);
}

// A server that cannot send because nobody reads takes nothing either.
TEST(Link, ASenderThatIsStuckReads) {
  LinkPeer peer;
  std::vector<CK_BYTE> data(8UL << 20, 1);
  const Call large = makeCall<Fn::DigestUpdate>(CK_ULONG{1}, data.data(), CK_ULONG{data.size()});
  auto stuck = begin(peer.link(), large);
  std::this_thread::sleep_for(20ms);
  // More than any socket holds, before a byte of the request is taken.
  Buffer heartbeats;
  for (int i = 0; i < 200'000; ++i) putHeartbeat(heartbeats, {});
  peer.send(heartbeats);
  const auto request = peer.request();
  peer.answer(request, CKR_OK);
  expectAnswered(stuck.get());
}

// Nothing names a request that is still on its way.
TEST(Link, ARequestMayTakeLongerThanTheSilenceToBeSent) {
  LinkPeer peer({.silence = 300ms, .pause = 15ms});
  std::vector<CK_BYTE> data(6UL << 20, 1);
  const Call large = makeCall<Fn::DigestUpdate>(CK_ULONG{1}, data.data(), CK_ULONG{data.size()});
  const auto before = std::chrono::steady_clock::now();
  auto answer = begin(peer.link(), large);
  const auto request = peer.request();
  EXPECT_GT(std::chrono::steady_clock::now() - before, 600ms);
  peer.answer(request, CKR_OK);
  expectAnswered(answer.get());
}

TEST(Link, AServerMayTakeNothingForAWhile) {
  LinkPeer peer({.silence = 300ms, .pause = 1ms});
  std::vector<CK_BYTE> data(2UL << 20, 1);
  const Call large = makeCall<Fn::DigestUpdate>(CK_ULONG{1}, data.data(), CK_ULONG{data.size()});
  auto answer = begin(peer.link(), large);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(40ms);
    peer.heartbeat({});
  }
  peer.answer(peer.request(), CKR_OK);
  expectAnswered(answer.get());
}

// The rest of its request is sent by others: half a request would be the end of the link.
TEST(Link, ASenderWhoseTimeIsOverLeavesTheRestToOthers) {
  LinkPeer peer;
  std::vector<CK_BYTE> data(8UL << 20, 1);
  const Call large = makeCall<Fn::DigestUpdate>(CK_ULONG{1}, data.data(), CK_ULONG{data.size()});
  Asked asked(1);
  Asked after(2);
  auto waiting = begin(peer.link(), asked.call);
  const auto first = peer.request();
  expectFate(begin(peer.link(), large, 100ms).get(), Fate::Unknown);
  EXPECT_TRUE(peer.link().usable());
  const auto second = peer.request();
  EXPECT_EQ(second.header.opcode, opcode(Fn::DigestUpdate));
  const auto cancel = peer.next();
  ASSERT_TRUE(cancel && cancel->is(Control::Cancel));
  peer.answer(first, CKR_OK, saying(1));
  expectAnswered(waiting.get());
  // Where nobody waits, the next call sends it.
  expectFate(begin(peer.link(), large, 100ms).get(), Fate::Unknown);
  auto next = begin(peer.link(), after.call);
  const auto third = peer.request();
  const auto other = peer.next();
  ASSERT_TRUE(other && other->is(Control::Cancel));
  const auto fourth = peer.request();
  EXPECT_EQ(whichOf(fourth), 2U);
  for (const auto* each : {&second, &third}) peer.answer(*each, CKR_OK);
  peer.answer(fourth, CKR_OK, saying(1));
  expectAnswered(next.get());
}

}  // namespace
}  // namespace p11ha::transport
