// How dropped members come back.
#include <array>
#include <set>
#include <utility>

#include "ha/turn.h"
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

// A C_CreateObject of that label.
bool makes(const test::Call& call, std::string_view label) {
  if (call.fn != test::Fn::CreateObject) return false;
  const auto wanted = cryptoki::Template::copyOf(call.get<const CK_ATTRIBUTE*>(1), call.get<CK_ULONG>(2));
  const auto its = wanted.value().find(CKA_LABEL);
  return its && std::equal(its->begin(), its->end(), label.begin(), label.end());
}

// One that makes a copy, not a claim to the turn in which it is made.
bool copies(const test::Call& call) { return call.fn == test::Fn::CreateObject && !makes(call, Turn::kLabel); }

// What the group copies to a member that lacks it.
cryptoki::Template publicData(const std::string& label) { return tests::dataObject(label, false); }

// As a daemon does that was started anew.
void comeBack(ScriptedMember& member) {
  member.down.reset();
  member.restart();
}
void comeBackEmpty(ScriptedMember& member) {
  comeBack(member);
  member.loseObjects();
}

class VirtualTokenRecovery : public test::VirtualTokenTest {
 protected:
  /// It is gone, and a call that goes to all members notices, whatever they hold.
  void noticeLoss(ScriptedMember& member) {
    member.down = Outcome{CKR_DEVICE_ERROR};
    EXPECT_EQ(call(session, test::makeCall<test::Fn::SeedRandom>(session, nullptr, CK_ULONG{0})), CKR_OK);
    scheduler.run();
  }
  void make(const std::string& label) {
    cryptoki::Template data = publicData(label);
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    EXPECT_EQ(call(session, test::makeCall<test::Fn::CreateObject>(session, data.data(), data.count(), &made)), CKR_OK);
  }
};

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
  scheduler.advance(seconds(120));  // one that did not stay waits twice as long
  EXPECT_EQ(news().back(), (halog::Event{halog::Recovered{1, "A"}}));
  EXPECT_EQ(signers().size(), 3U);
}

TEST_F(VirtualTokenRecovery, ARecoveredMemberServesAgainThoughItsHandlesAreOthers) {
  startServing();
  ScriptedMember& failing = *members[0];
  loseInSign(failing, {CKR_DEVICE_ERROR, Fate::Unknown});
  scheduler.advance(seconds(60));
  comeBack(failing);
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

const halog::Event kAnew = halog::Unrecoverable{1, "B", {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED"}};

TEST_F(VirtualTokenRecovery, ATokenThatWasInitialisedAnewIsUnrecoverable) {
  startServing();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  comeBackEmpty(*members[1]);
  scheduler.advance(seconds(3600));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"}, kAnew}));
  EXPECT_EQ(members[1]->objectCount(), 0U) << "nothing may be copied to it";
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "C"}));
}

TEST_F(VirtualTokenRecovery, AFailedAttemptDoesNotForgetWhatTheMemberHeld) {
  for (const auto& each : members) each->put(publicData("data"));
  startLoggedIn();
  EXPECT_EQ(call(session, test::makeCall<test::Fn::Logout>(session)), CKR_OK);
  forgetNews();
  ScriptedMember& member = *members[1];
  noticeLoss(member);
  comeBackEmpty(member);
  // The first attempt notes that nothing is there, which proves nothing as nobody is logged in, and fails amid a copy.
  member.script = [](const test::Call& made) {
    return copies(made) ? std::optional(Outcome{CKR_DEVICE_ERROR}) : std::nullopt;
  };
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"}, halog::RecoveryFailed{1, "B", kDeviceError}}));
  member.script = nullptr;
  ASSERT_EQ(login(session), CKR_OK);
  forgetNews();
  scheduler.advance(seconds(3600));
  EXPECT_EQ(news(), (Log{halog::Unrecoverable{2, "B", {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED"}}}));
}

TEST_F(VirtualTokenRecovery, AMemberThatLostSomeOfItsObjectsIsGivenThemAgain) {
  for (const auto& member : members) member->put(publicData("data"));
  startLoggedIn();
  forgetNews();
  ScriptedMember& member = *members[1];
  noticeLoss(member);
  ASSERT_EQ(phase(member), Phase::Down);
  comeBackEmpty(member);
  member.put(tests::privateKey("key"));
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"}, halog::Reintroducing{1, 1, "B"}, halog::Recovered{1, "B"}}));
  EXPECT_EQ(member.objectCount(), 2U);
}

TEST_F(VirtualTokenRecovery, WhatOthersDoNotHoldIsNotMissed) {
  policy.synchronize = false;
  startServing();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  comeBackEmpty(*members[1]);
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"}, halog::Recovered{1, "B"}}));
}

TEST_F(VirtualTokenRecovery, WhileNobodyIsLoggedInAnInventoryProvesNothing) {
  startServing();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  EXPECT_EQ(call(session, test::makeCall<test::Fn::Logout>(session)), CKR_OK);
  comeBack(*members[1]);
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"}, halog::Recovered{1, "B"}}));
  ASSERT_EQ(login(session), CKR_OK);
  key = findKey(session);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

TEST_F(VirtualTokenRecovery, WhatOneMemberAloneHoldsIsGivenToTheOthersWhenItComesBack) {
  startServing();
  for (const std::size_t away : std::array<std::size_t, 2>{0, 1}) noticeLoss(*members[away]);
  make("alone");
  // The only one that has it is lost while it is copied.
  ScriptedMember& holder = *members[2];
  for (const std::size_t back : std::array<std::size_t, 2>{0, 1}) comeBack(*members[back]);
  holder.script = test::answering(test::Fn::GetAttributeValue, {CKR_DEVICE_ERROR});
  scheduler.advance(seconds(60));
  ASSERT_EQ(phase(*members[0]), Phase::Active);
  ASSERT_EQ(phase(holder), Phase::Down);
  ASSERT_EQ(members[0]->objectsLabelled("alone") + members[1]->objectsLabelled("alone"), 0U);
  holder.script = nullptr;
  comeBack(holder);
  scheduler.advance(seconds(3600));
  for (const auto& member : members) EXPECT_EQ(member->objectsLabelled("alone"), 1U) << member->serial();
}

TEST_F(VirtualTokenRecovery, ASourceThatIsLostAmidTheCopiesIsReplacedByAnother) {
  for (const std::size_t holder : std::array<std::size_t, 2>{0, 2}) {
    for (const char* label : {"first", "second", "third"}) members[holder]->put(publicData(label));
  }
  startLoggedIn();
  ScriptedMember& member = *members[1];
  ScriptedMember& source = *members[0];
  noticeLoss(member);
  comeBack(member);
  workers.queueing = true;
  scheduler.advance(seconds(60));
  member.script = [&](const test::Call& made) -> std::optional<Outcome> {
    if (!copies(made)) return std::nullopt;
    member.script = nullptr;
    noticeLoss(source);
    comeBack(source);
    source.renumber();
    return std::nullopt;
  };
  workers.queueing = false;
  workers.runQueued();
  scheduler.run();
  ASSERT_EQ(phase(source), Phase::Down);
  EXPECT_EQ(lines<halog::UnsyncedObject>(), 0U);
  for (const char* label : {"first", "second", "third"}) EXPECT_EQ(member.objectsLabelled(label), 1U) << label;
}

TEST_F(VirtualTokenRecovery, WhatIsMadeWhileCopiesAreMadeIsThereBeforeTheMemberServes) {
  startServing();
  ScriptedMember& member = *members[1];
  loseInSign(member, {CKR_DEVICE_ERROR});
  make("first");
  comeBack(member);
  member.script = [&](const test::Call& made) -> std::optional<Outcome> {
    if (!copies(made)) return std::nullopt;
    member.script = nullptr;
    make("second");
    return std::nullopt;
  };
  forgetNews();
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::Reintroducing{1, 2, "B"}, halog::Recovered{1, "B"}}));
  for (const char* label : {"first", "second"}) EXPECT_EQ(member.objectsLabelled(label), 1U) << label;
}

// The second attempt is made under the same epoch as the first, which bound all that it saw and copied.
TEST_F(VirtualTokenRecovery, AMemberThatDiesAmidACopyIsSeenAnewWhenItComesBack) {
  for (const auto& member : members) member->put(publicData("everywhere"));
  for (const std::size_t holder : std::array<std::size_t, 2>{0, 2}) {
    members[holder]->put(publicData("first"));
    members[holder]->put(publicData("second"));
  }
  startLoggedIn();
  ScriptedMember& member = *members[1];
  noticeLoss(member);
  const auto comeBackRenumbered = [&] {
    comeBack(member);
    member.renumber();
  };
  comeBackRenumbered();
  std::size_t copied = 0;
  member.script = [&](const test::Call& made) -> std::optional<Outcome> {
    if (copies(made) && ++copied == 2) member.down = Outcome{CKR_DEVICE_ERROR};
    return std::nullopt;
  };
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::RecoveryFailed>(), 1U);
  member.script = nullptr;
  comeBackRenumbered();
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::Recovered>(), 1U);
  for (const char* label : {"key", "everywhere", "first", "second"}) {
    EXPECT_EQ(member.objectsLabelled(label), 1U) << label;
  }
  CK_OBJECT_HANDLE found[16] = {};
  CK_ULONG count = 0;
  EXPECT_EQ(call(session, test::makeCall<test::Fn::FindObjectsInit>(session, nullptr, CK_ULONG{0})), CKR_OK);
  EXPECT_EQ(call(session, test::makeCall<test::Fn::FindObjects>(session, found, CK_ULONG{16}, &count)), CKR_OK);
  EXPECT_EQ(count, 4U);
}

// The application's calls that need the source's session of p11ha's own do not wait for a copy from it.
TEST_F(VirtualTokenRecovery, TheSourceOfACopyKeepsItsOwnSessionFree) {
  members[0]->put(publicData("data"));
  members[2]->put(publicData("data"));
  startLoggedIn();
  ScriptedMember& member = *members[1];
  noticeLoss(member);
  comeBack(member);
  forgetNews();
  members[0]->made.clear();
  std::set<CK_SESSION_HANDLE> ofTheTurn;
  members[0]->script = [&](const test::Call& made) -> std::optional<Outcome> {
    if (makes(made, Turn::kLabel)) ofTheTurn.insert(made.get<CK_SESSION_HANDLE>(0));
    return std::nullopt;
  };
  std::set<CK_SESSION_HANDLE> ofTheCopy;
  std::set<CK_SESSION_HANDLE> ofTheApplication;
  member.script = [&](const test::Call& made) -> std::optional<Outcome> {
    if (!makes(made, "data")) return std::nullopt;
    for (const auto& read : members[0]->made) {
      if (read.fn == test::Fn::GetAttributeValue && !ofTheTurn.contains(read.session)) ofTheCopy.insert(read.session);
    }
    // Amid the copy: it would hang for ever here, on one thread, if it had to wait.
    members[0]->made.clear();
    EXPECT_EQ(call(session, test::makeCall<test::Fn::Logout>(session)), CKR_OK);
    for (const auto& out : members[0]->made) {
      if (out.fn == test::Fn::Logout) ofTheApplication.insert(out.session);
    }
    return std::nullopt;
  };
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::Recovered>(), 1U);
  ASSERT_EQ(ofTheCopy.size(), 1U);
  ASSERT_EQ(ofTheApplication.size(), 1U);
  EXPECT_NE(*ofTheCopy.begin(), *ofTheApplication.begin());
}

}  // namespace
}  // namespace p11ha::ha
