// One connection with many calls in flight, whatever the other end does.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "tests/unit/transport/link_calls.h"

namespace p11ha::transport {
namespace {

using testing::HasSubstr;

TEST(Link, CarriesACallAndItsAnswer) {
  LinkPeer peer;
  Asked asked(7);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  EXPECT_EQ(request.header.opcode, opcode(Fn::GetObjectSize));
  EXPECT_EQ(whichOf(request), 7U);
  peer.answer(request, CKR_OK, saying(70));
  expectAnswered(answer.get());
  EXPECT_EQ(asked.size, 70U);
}

TEST(Link, AnswersComeInAnyOrder) {
  constexpr std::size_t kCalls = 64;
  LinkPeer peer;
  std::vector<std::unique_ptr<Asked>> asked;
  std::vector<std::future<LinkAnswer>> answers;
  for (std::size_t i = 0; i < kCalls; ++i) {
    asked.push_back(std::make_unique<Asked>(i));
    answers.push_back(begin(peer.link(), asked.back()->call));
  }
  std::vector<LinkPeer::Received> requests;
  for (std::size_t i = 0; i < kCalls; ++i) requests.push_back(peer.request());
  std::map<std::uint32_t, int> ids;
  for (const auto& request : requests) ++ids[request.header.request];
  EXPECT_EQ(ids.size(), kCalls);
  // The first that came is the one whose caller reads for all.
  for (std::size_t i = 0; i < kCalls; i += 2) peer.answer(requests[i], CKR_OK, saying(whichOf(requests[i]) + 1000));
  for (std::size_t i = kCalls; i-- > 0;) {
    if (i % 2 != 0) peer.answer(requests[i], CKR_OK, saying(whichOf(requests[i]) + 1000));
  }
  for (std::size_t i = 0; i < kCalls; ++i) {
    expectAnswered(answers[i].get());
    EXPECT_EQ(asked[i]->size, i + 1000);
  }
}

TEST(Link, AnInitGoesWithItsCall) {
  LinkPeer peer;
  CK_MECHANISM mechanism{CKM_ECDSA, nullptr, 0};
  const Call init = makeCall<Fn::SignInit>(CK_ULONG{1}, &mechanism, CK_ULONG{9});
  CK_BYTE signature[8] = {};
  CK_ULONG length = sizeof signature;
  CK_BYTE data[4] = {};
  const Call sign = makeCall<Fn::Sign>(CK_ULONG{1}, data, CK_ULONG{sizeof data}, signature, &length);
  Buffer encoded;
  Outputs outputs;
  ASSERT_EQ(encodeRequest(init, peer.link().limits(), encoded, outputs), CKR_OK);
  const HeldInit held{encoded.bytes(), &outputs};
  for (const CK_RV initRv : {CK_RV{CKR_OK}, CK_RV{CKR_KEY_HANDLE_INVALID}}) {
    auto answer = std::async(std::launch::async, [&] { return peer.link().call(sign, &held, in(10s)); });
    const auto request = peer.request();
    EXPECT_EQ(request.header.flags, kFlagHasInit);
    peer.answer(
        request, CKR_OK,
        [](const Outputs& out) {
          *static_cast<CK_ULONG*>(out[0].length) = 3;
          std::memset(out[0].data, 5, 3);
        },
        initRv);
    const LinkAnswer got = answer.get();
    expectAnswered(got, initRv);
    EXPECT_EQ(got.initRv, initRv);
    EXPECT_EQ(length, 3U);
    EXPECT_EQ(signature[2], 5);
  }
}

TEST(Link, WhatCannotBeEncodedIsAnsweredHere) {
  LinkPeer peer({.limits = {.payload = 2048, .outputs = 2048}});
  std::vector<CK_BYTE> data(4096);
  const Call call = makeCall<Fn::DigestUpdate>(CK_ULONG{1}, data.data(), CK_ULONG{data.size()});
  expectAnswered(peer.link().call(call, nullptr, in(10s)), CKR_HOST_MEMORY);
  // And leaves nothing behind.
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  peer.answer(peer.request(), CKR_OK, saying(1));
  expectAnswered(answer.get());
}

TEST(Link, ACallOverItsTimeIsCancelledAndTheLinkGoesOn) {
  LinkPeer peer;
  Asked late(1);
  Asked asked(2);
  auto first = begin(peer.link(), late.call, 50ms);
  const auto request = peer.request();
  expectFate(first.get(), Fate::Unknown);
  const auto cancel = peer.next();
  ASSERT_TRUE(cancel && cancel->is(Control::Cancel));
  EXPECT_EQ(cancel->header.request, request.header.request);
  auto second = begin(peer.link(), asked.call);
  const auto other = peer.request();
  // Its id is not given to another as long as the answer may come.
  EXPECT_NE(other.header.request, request.header.request);
  peer.answer(request, CKR_OK, saying(10));
  peer.answer(other, CKR_OK, saying(20));
  expectAnswered(second.get());
  EXPECT_EQ(asked.size, 20U);
  EXPECT_EQ(late.size, 0U);
  EXPECT_TRUE(peer.link().usable());
}

TEST(Link, AReaderWhoseTimeIsOverHandsTheDutyOn) {
  LinkPeer peer;
  Asked reader(1);
  Asked other(2);
  auto first = begin(peer.link(), reader.call, 60ms);
  const auto request = peer.request();
  auto second = begin(peer.link(), other.call);
  const auto waiting = peer.request();
  expectFate(first.get(), Fate::Unknown);
  const auto cancel = peer.next();
  ASSERT_TRUE(cancel && cancel->is(Control::Cancel));
  peer.answer(waiting, CKR_OK, saying(5));
  const auto before = std::chrono::steady_clock::now();
  expectAnswered(second.get());
  EXPECT_LT(std::chrono::steady_clock::now() - before, 1s);
}

TEST(Link, FatesAreExactWhenTheConnectionBreaks) {
  LinkPeer peer;
  Asked asked(1);
  auto sent = begin(peer.link(), asked.call);
  static_cast<void>(peer.request());
  peer.close();
  expectFate(sent.get(), Fate::Unknown);
  EXPECT_FALSE(peer.link().usable());
  Asked after(2);
  expectFate(peer.link().call(after.call, nullptr, in(10s)), Fate::NotSent);
}

TEST(Link, AGoodbyeLetsWhatIsInFlightFinish) {
  LinkPeer peer;
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  Buffer goodbye;
  putGoodbye(goodbye, {Farewell::ShuttingDown, "maintenance"});
  peer.send(goodbye);
  while (peer.link().usable()) std::this_thread::yield();
  Asked after(2);
  expectFate(peer.link().call(after.call, nullptr, in(10s)), Fate::NotSent);
  peer.answer(request, CKR_OK, saying(1));
  expectAnswered(answer.get());
  EXPECT_THAT(peer.link().failure(), HasSubstr("maintenance"));
}

// What is no answer to what was asked ends the link, and writes nothing.
TEST(Link, AnswersThatAreNoneEndIt) {
  const auto frame = [](std::uint32_t request, Fn fn, std::uint16_t flags, std::size_t size) {
    Buffer plain;
    putFrame(plain, request, opcode(fn), flags, [&](Buffer& to) {
      for (std::size_t i = 0; i < size; ++i) to.put<std::uint8_t>(0);
    });
    return plain;
  };
  using Make = std::function<Buffer(std::uint32_t)>;
  const std::pair<const char*, Make> wrong[] = {
      {"another request", [&](std::uint32_t id) { return frame(id + 1, Fn::GetObjectSize, kFlagAnswer, 9); }},
      {"a request never made", [&](std::uint32_t) { return frame(~0U, Fn::GetObjectSize, kFlagAnswer, 9); }},
      {"another function", [&](std::uint32_t id) { return frame(id, Fn::GetSessionInfo, kFlagAnswer, 9); }},
      {"too short", [&](std::uint32_t id) { return frame(id, Fn::GetObjectSize, kFlagAnswer, 5); }},
      {"too long", [&](std::uint32_t id) { return frame(id, Fn::GetObjectSize, kFlagAnswer, 30); }},
      {"a request", [&](std::uint32_t id) { return frame(id, Fn::GetObjectSize, 0, 9); }},
      {"a frame too large",
       [&](std::uint32_t id) {
         Buffer plain = frame(id, Fn::GetObjectSize, kFlagAnswer, 0);
         std::memset(plain.data(), 0xFF, 4);
         return plain;
       }},
      {"a malformed frame",
       [&](std::uint32_t id) {
         Buffer plain = frame(id, Fn::GetObjectSize, kFlagAnswer, 9);
         plain.data()[12] = 1;
         return plain;
       }},
  };
  for (const auto& [what, make] : wrong) {
    SCOPED_TRACE(what);
    LinkPeer peer;
    Asked asked(1);
    asked.size = 99;
    auto answer = begin(peer.link(), asked.call);
    peer.send(make(peer.request().header.request));
    expectFate(answer.get(), Fate::Unknown);
    EXPECT_FALSE(peer.link().usable());
    EXPECT_EQ(asked.size, 99U);
  }
}

TEST(Link, AWrongByteEndsIt) {
  LinkPeer peer;
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  static_cast<void>(peer.request());
  Buffer plain;
  putHeartbeat(plain, {});
  auto sealed = peer.seal(plain);
  sealed[sealed.size() / 2] ^= 1;
  peer.sendRaw(sealed);
  expectFate(answer.get(), Fate::Unknown);
  EXPECT_THAT(peer.link().failure(), HasSubstr("bad record mac"));
}

TEST(Link, ComesInAnyPieces) {
  LinkPeer peer;
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  Buffer plain;
  putHeartbeat(plain, {});
  for (const std::uint8_t byte : peer.seal(plain)) peer.sendRaw({&byte, 1});
  peer.answer(request, CKR_OK, saying(2));
  expectAnswered(answer.get());
}

TEST(Link, NoMoreInFlightThanThereMayBe) {
  LinkPeer peer({.maxInFlight = 2});
  Asked asked[3] = {Asked(0), Asked(1), Asked(2)};
  std::vector<std::future<LinkAnswer>> answers;
  for (const Asked& each : asked) answers.push_back(begin(peer.link(), each.call));
  const auto first = peer.request();
  const auto second = peer.request();
  peer.answer(second, CKR_OK, saying(1));
  peer.answer(peer.request(), CKR_OK, saying(1));
  peer.answer(first, CKR_OK, saying(1));
  for (auto& answer : answers) expectAnswered(answer.get());
}

// Two answers in one piece: two that wait for a place have one.
TEST(Link, EveryPlaceThatBecomesFreeIsTaken) {
  LinkPeer peer({.maxInFlight = 2});
  Asked asked[4] = {Asked(0), Asked(1), Asked(2), Asked(3)};
  std::vector<std::future<LinkAnswer>> answers;
  for (const Asked& each : asked) answers.push_back(begin(peer.link(), each.call));
  const auto first = peer.request();
  const auto second = peer.request();
  std::this_thread::sleep_for(100ms);  // the others wait by now
  Buffer both;
  for (const auto* request : {&first, &second}) {
    putFrame(both, request->header.request, request->header.opcode, kFlagAnswer, [](Buffer& to) {
      to.put<std::uint64_t>(CKR_OBJECT_HANDLE_INVALID);
      to.put<std::uint8_t>(0);
    });
  }
  peer.send(both);
  const auto third = peer.request();
  const auto fourth = peer.request();
  peer.answer(third, CKR_OBJECT_HANDLE_INVALID);
  peer.answer(fourth, CKR_OBJECT_HANDLE_INVALID);
  for (auto& answer : answers) expectAnswered(answer.get(), CKR_OBJECT_HANDLE_INVALID);
}

// It is in use, not lost.
TEST(Link, WithoutAPlaceUntilTheDeadlineOnlyTheCallFails) {
  LinkPeer peer({.maxInFlight = 1});
  Asked asked[2] = {Asked(0), Asked(1)};
  auto first = begin(peer.link(), asked[0].call);
  const auto request = peer.request();
  expectAnswered(peer.link().call(asked[1].call, nullptr, in(100ms)), CKR_FUNCTION_CANCELED);
  EXPECT_TRUE(peer.link().usable());
  peer.answer(request, CKR_OK, saying(1));
  expectAnswered(first.get());
}

TEST(Link, CloseWakesWhoeverIsInIt) {
  LinkPeer peer;
  Asked asked[2] = {Asked(1), Asked(2)};
  auto answer = begin(peer.link(), asked[0].call);
  static_cast<void>(peer.request());
  // Whoever sent that is done with it by then: into somebody's sending no goodbye is said.
  expectFate(peer.link().call(asked[1].call, nullptr, in(100ms)), Fate::Unknown);
  static_cast<void>(peer.request());
  const auto cancel = peer.next();
  EXPECT_TRUE(cancel && cancel->is(Control::Cancel));
  peer.link().close("the end");
  expectFate(answer.get(), Fate::Unknown);
  const auto goodbye = peer.next();
  EXPECT_TRUE(goodbye && goodbye->is(Control::Goodbye));
  EXPECT_FALSE(peer.next());
}

// A child has no part in its parent's connection, and does not end it.
TEST(Link, AForkedChildLetsGoOfIt) {
  LinkPeer peer;
  const pid_t child = fork();
  if (child == 0) {
    // Closed already: the lowest number that is free is one of the link's.
    const int lowest = dup(0);
    _exit(lowest < peer.socket() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  peer.answer(peer.request(), CKR_OK, saying(1));
  expectAnswered(answer.get());
}

// Threads that come and go, answers in any order, some too late: nobody waits for what has come.
TEST(Link, ManyThreadsForAWhile) {
  constexpr int kThreads = 16;
  constexpr int kCalls = 300;
  LinkPeer peer;
  std::atomic<int> running{kThreads};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kCalls; ++i) {
        const CK_ULONG which = static_cast<CK_ULONG>(t) * kCalls + static_cast<CK_ULONG>(i);
        Asked asked(which);
        const LinkAnswer answer = peer.link().call(asked.call, nullptr, in(10s));
        if (answer.outcome.rv != CKR_OK || asked.size != which + 5) ++wrong;
      }
      if (--running == 0) peer.link().close("done");
    });
  }
  std::vector<LinkPeer::Received> held;
  unsigned turn = 0;
  while (auto received = peer.next()) {
    if (received->is(Control::Goodbye)) break;
    held.push_back(std::move(*received));
    // All of them now and then, the last first; else one.
    do {
      const LinkPeer::Received request = std::move(held.back());
      held.pop_back();
      peer.answer(request, CKR_OK, saying(whichOf(request) + 5));
    } while (++turn % 3 == 0 && !held.empty());
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace p11ha::transport
