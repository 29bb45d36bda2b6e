// How dropped members come back.
#include <set>

#include "tests/unit/ha/answers.h"
#include "tests/unit/ha/virtual_token_fixture.h"

namespace p11ha::ha {
namespace {

using cryptoki::Fate;
using std::chrono::seconds;
using test::kDeviceError;
using test::Log;
using test::Outcome;
using test::ScriptedMember;
using VirtualTokenRecovery = test::VirtualTokenTest;

TEST_F(VirtualTokenRecovery, ADroppedMemberIsTriedEveryInterval) {
  policy.recovery = {3, seconds(60)};
  startServing();
  ScriptedMember& failing = *members[0];
  loseInSign(failing, {CKR_DEVICE_ERROR});
  EXPECT_EQ(news(), (Log{halog::DropMember{"A"}}));
  forgetNews();
  const std::size_t attaches = failing.attaches;
  Log expected;
  for (std::uint64_t attempt = 1; attempt <= 3; ++attempt) {
    scheduler.advance(seconds(59));
    EXPECT_EQ(news(), expected) << "too early";
    scheduler.advance(seconds(1));
    expected.emplace_back(halog::RecoveryFailed{attempt, "A", kDeviceError});
    if (attempt == 3) expected.emplace_back(halog::AttemptsExceeded{"A"});
    EXPECT_EQ(news(), expected);
    EXPECT_EQ(failing.attaches, attaches + attempt);
  }
  EXPECT_EQ(phase(failing), Phase::GivenUp);
  failing.down.reset();
  scheduler.advance(seconds(3600));
  EXPECT_EQ(failing.attaches, attaches + 3) << "given up";
  EXPECT_EQ(news(), expected);

  token->recoverNow(0);
  scheduler.run();
  expected.emplace_back(halog::ReenableMember{"A"});
  expected.emplace_back(halog::Recovered{1, "A"});
  EXPECT_EQ(news(), expected);
  EXPECT_EQ(signers().size(), 3U);
}

TEST_F(VirtualTokenRecovery, WithoutAThreadToBeHadAnAttemptFailsAndTheNextOneIsMade) {
  startServing();
  ScriptedMember& failing = *members[0];
  loseInSign(failing, {CKR_DEVICE_ERROR});
  failing.down.reset();
  workers.exhausted = true;
  scheduler.advance(seconds(60));
  const halog::Code kHostMemory{CKR_HOST_MEMORY, "CKR_HOST_MEMORY"};
  const Log failed{halog::DropMember{"A"}, halog::RecoveryFailed{1, "A", kHostMemory}};
  EXPECT_EQ(news(), failed);
  workers.exhausted = false;
  scheduler.advance(seconds(60));
  EXPECT_EQ(news().back(), (halog::Event{halog::Recovered{2, "A"}}));
  EXPECT_EQ(signers().size(), 3U);
}

TEST_F(VirtualTokenRecovery, WithoutAThreadToSettleARecoveredMemberItIsDroppedAndTriedAgain) {
  startServing();
  ScriptedMember& failing = *members[0];
  loseInSign(failing, {CKR_DEVICE_ERROR});
  failing.down.reset();
  failing.script = [this](const test::Call&) {
    workers.exhausted = true;  // as long as the attempt lasts there is the thread it runs on, and no other
    return std::optional<Outcome>();
  };
  scheduler.advance(seconds(60));
  const Log expected{halog::DropMember{"A"}, halog::Recovered{1, "A"}, halog::DropMember{"A"}};
  EXPECT_EQ(news(), expected);
  failing.script = nullptr;
  workers.exhausted = false;
  scheduler.advance(seconds(60));
  EXPECT_EQ(news().back(), (halog::Event{halog::Recovered{1, "A"}}));
  EXPECT_EQ(signers().size(), 3U);
}

TEST_F(VirtualTokenRecovery, ARecoveredMemberServesAgainThoughItsHandlesAreOthers) {
  startServing();
  ScriptedMember& failing = *members[0];
  loseInSign(failing, {CKR_DEVICE_ERROR, Fate::Unknown});
  scheduler.advance(seconds(60));
  failing.down.reset();
  failing.restart();
  failing.renumber();
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(),
            (Log{halog::DropMember{"A"}, halog::RecoveryFailed{1, "A", kDeviceError}, halog::Recovered{2, "A"}}));
  EXPECT_TRUE(failing.loggedIn());
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
  EXPECT_EQ(findKey(session), key);
  EXPECT_EQ(lines<halog::DropMember>(), 1U);
}

TEST_F(VirtualTokenRecovery, WithoutAutoRecoveryADroppedMemberStaysAway) {
  policy.recovery.attempts = 0;
  startServing();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  members[1]->down.reset();
  scheduler.advance(seconds(3600));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"}}));
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "C"}));
}

TEST_F(VirtualTokenRecovery, CallsDoNotWaitForAnAttemptThatTakesLong) {
  startServing();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  members[1]->down.reset();
  workers.queueing = true;
  scheduler.advance(seconds(60));
  ASSERT_EQ(workers.queued(), 1U);
  EXPECT_EQ(phase(*members[1]), Phase::Recovering);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "C"}));
  workers.queueing = false;
  workers.runQueued();
  scheduler.run();
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

TEST_F(VirtualTokenRecovery, AnotherTokenInAMembersPlaceIsUnrecoverable) {
  startServing();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  members[1]->down.reset();
  members[1]->attachRv = CKR_TOKEN_NOT_RECOGNIZED;
  scheduler.advance(seconds(3600));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"},
                         halog::Unrecoverable{1, "B", {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED"}}}));
}

TEST_F(VirtualTokenRecovery, AMemberThatWasNotThereAtTheStartJoinsLater) {
  members[0]->down = Outcome{CKR_TOKEN_NOT_PRESENT, Fate::NotSent};
  start();
  EXPECT_EQ(lines<halog::DropUnrecoverable>(), 1U);
  session = open();
  ASSERT_EQ(login(session), CKR_OK);
  key = findKey(session);
  EXPECT_EQ(signers(), (std::set<std::string>{"B", "C"}));
  members[0]->down.reset();
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::Recovered>(), 1U);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

}  // namespace
}  // namespace p11ha::ha
