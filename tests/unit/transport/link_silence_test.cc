// A server from which nothing comes is given up, and one that is at work is not.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/unit/transport/link_calls.h"

namespace p11ha::transport {
namespace {

TEST(Link, ASilentServerIsGivenUp) {
  LinkPeer peer({.silence = 200ms});
  Asked one(1);
  Asked two(2);
  const auto before = std::chrono::steady_clock::now();
  auto first = begin(peer.link(), one.call);
  auto second = begin(peer.link(), two.call);
  expectFate(first.get(), Fate::Unknown);
  expectFate(second.get(), Fate::Unknown);
  const auto took = std::chrono::steady_clock::now() - before;
  EXPECT_GE(took, 200ms);
  EXPECT_LT(took, 1s);
  EXPECT_FALSE(peer.link().usable());
  EXPECT_EQ(peer.link().failure(), "it has fallen silent");
  expectFate(peer.link().call(one.call, nullptr, in(10s)), Fate::NotSent);
}

// Nor does it say itself how long it may be silent: not beyond some bound.
TEST(Link, AServersHeartbeatsMayNotBeTooRare) {
  EXPECT_EQ(LinkPeer({.silence = 200ms, .heartbeat = 10}).link().silence(), 200ms);
  EXPECT_EQ(LinkPeer({.silence = 200ms, .heartbeat = 100}).link().silence(), 300ms);
  EXPECT_EQ(LinkPeer({.silence = 200ms, .heartbeat = ~0U}).link().silence(), 30s);
}

TEST(Link, AHeartbeatKeepsAliveWhatItNames) {
  LinkPeer peer({.silence = 200ms});
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  for (int i = 0; i < 12; ++i) {
    std::this_thread::sleep_for(50ms);
    peer.heartbeat({request.header.request});
  }
  peer.answer(request, CKR_OK, saying(3));
  expectAnswered(answer.get());
}

TEST(Link, AHeartbeatThatDoesNotNameACallLetsItDie) {
  LinkPeer peer({.silence = 200ms});
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  while (answer.wait_for(20ms) != std::future_status::ready) peer.heartbeat({request.header.request + 1});
  expectFate(answer.get(), Fate::Unknown);
}

// Each heartbeat comes, and each answer: all of them later than the one before.
TEST(Link, AServerWhoseWordsOnlyTrickleIsGivenUp) {
  LinkPeer peer({.silence = 200ms});
  peer.heartbeat({});
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  for (std::uint64_t said = tests::millisecondsNow(); answer.wait_for(20ms) != std::future_status::ready; said += 2) {
    Buffer heartbeat;
    putHeartbeat(heartbeat, {said, Heartbeat::kHoldsBack, {request.header.request}});
    peer.send(heartbeat);
  }
  expectFate(answer.get(), Fate::Unknown);
  EXPECT_EQ(peer.link().failure(), "it only trickles");
}

TEST(Link, AnAnswerThatOnlyTricklesEndsIt) {
  LinkPeer peer({.silence = 200ms});
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  Buffer large;
  const std::vector<std::uint8_t> output(16000);
  putFrame(large, request.header.request, request.header.opcode, kFlagAnswer,
           [&](Buffer& to) { to.putBytes(output.data(), output.size()); });
  const auto sealed = peer.seal(large);
  std::size_t sent = 0;
  for (; answer.wait_for(10ms) != std::future_status::ready; ++sent) {
    ASSERT_LT(sent, sealed.size());
    peer.sendRaw({&sealed[sent], 1});
  }
  expectFate(answer.get(), Fate::Unknown);
  EXPECT_EQ(peer.link().failure(), "it only trickles");
}

// What is large comes late, with all that is behind it.
TEST(Link, AServerThatIsLateBecauseItSaysMuchIsNot) {
  LinkPeer peer({.silence = 200ms});
  peer.heartbeat({});
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  Buffer large;
  const std::uint64_t behind = tests::millisecondsNow();
  putHeartbeat(large, {behind, Heartbeat::kHoldsBack, std::vector<std::uint32_t>(75'000, request.header.request)});
  const auto sealed = peer.seal(large);
  for (std::size_t sent = 0; sent < sealed.size(); sent += 5000) {
    std::this_thread::sleep_for(10ms);
    peer.sendRaw(std::span(sealed).subspan(sent, std::min<std::size_t>(5000, sealed.size() - sent)));
  }
  for (std::uint64_t each = 0; each < 5; ++each) {
    Buffer heartbeat;
    putHeartbeat(heartbeat, {behind + each * 50, Heartbeat::kHoldsBack, {request.header.request}});
    peer.send(heartbeat);
  }
  peer.answer(request, CKR_OK, saying(3));
  expectAnswered(answer.get());
}

// Each request is named, so each arrived; what was sent behind them arrives ever later.
TEST(Link, AServerToWhichRequestsOnlyTrickleIsGivenUp) {
  LinkPeer peer({.silence = 200ms});
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  for (std::uint64_t arrived = 0; answer.wait_for(20ms) != std::future_status::ready; ++arrived) {
    ASSERT_LT(arrived, 100U);
    peer.heartbeat({request.header.request}, arrived);
  }
  expectFate(answer.get(), Fate::Unknown);
  EXPECT_EQ(peer.link().failure(), "what is sent to it only trickles");
}

TEST(Link, AServerToWhichMuchIsOnItsWayIsNot) {
  LinkPeer peer({.silence = 200ms});
  std::vector<CK_BYTE> data(1UL << 20, 1);
  const Call large = makeCall<Fn::DigestUpdate>(CK_ULONG{1}, data.data(), CK_ULONG{data.size()});
  auto answer = begin(peer.link(), large);
  const auto request = peer.request();
  for (std::uint64_t arrived = 0; arrived < 30; ++arrived) {
    EXPECT_NE(answer.wait_for(20ms), std::future_status::ready);
    peer.heartbeat({request.header.request}, arrived * 10'000);
  }
  peer.answer(request, CKR_OK);
  expectAnswered(answer.get());
}

// Only what was not heard while somebody listened counts: a process that was stopped has not listened.
TEST(Link, AStoppedClientDoesNotBlameTheServer) {
  LinkPeer peer({.silence = 300ms});
  Asked asked(1);
  auto answer = begin(peer.link(), asked.call);
  const auto request = peer.request();
  const pid_t self = getpid();
  const pid_t waker = fork();
  if (waker == 0) {
    usleep(1'000'000);
    kill(self, SIGCONT);
    _exit(0);
  }
  kill(self, SIGSTOP);
  EXPECT_NE(answer.wait_for(100ms), std::future_status::ready);
  peer.answer(request, CKR_OK, saying(4));
  expectAnswered(answer.get());
  waitpid(waker, nullptr, 0);
}

TEST(Link, NoticesWhatComesWhileNobodyCalls) {
  LinkPeer peer({.silence = 100ms});
  Buffer change;
  putStateChange(change, {"1", PartitionState::Deactivated});
  peer.send(change);
  EXPECT_EQ(peer.link().stateChanges(), 0U);
  peer.link().tend();
  EXPECT_EQ(peer.link().stateChanges(), 1U);
  EXPECT_EQ(peer.link().partitionState(), PartitionState::Deactivated);
  for (int i = 0; i < 12; ++i) {
    std::this_thread::sleep_for(20ms);
    peer.heartbeat({});
    peer.link().tend();
  }
  EXPECT_TRUE(peer.link().usable());
  const auto before = std::chrono::steady_clock::now();
  while (peer.link().usable()) {
    std::this_thread::sleep_for(10ms);
    peer.link().tend();
  }
  EXPECT_GE(std::chrono::steady_clock::now() - before, 70ms);
  EXPECT_EQ(peer.link().failure(), "it has fallen silent");
}

TEST(Link, NoticesAServerThatHasGone) {
  LinkPeer peer;
  peer.close();
  peer.link().tend();
  EXPECT_FALSE(peer.link().usable());
  EXPECT_EQ(peer.link().failure(), "it has closed the connection");
}

}  // namespace
}  // namespace p11ha::transport
