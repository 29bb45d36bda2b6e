// A group from its beginning to its end.
#include <map>
#include <set>

#include "tests/unit/ha/answers.h"
#include "tests/unit/ha/virtual_token_fixture.h"

namespace p11ha::ha {
namespace {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using std::chrono::seconds;
using test::Log;
using test::Outcome;
using test::VirtualTokenTest;

TEST_F(VirtualTokenTest, SaysWhenItStartsWhatItIsAndWhenItEnds) {
  start();
  EXPECT_EQ(log.events(), (Log{halog::MgmtThreadStart{}, halog::ConfiguredAsPassword{}}));
  token->stop();
  scheduler.run();
  token.reset();
  EXPECT_EQ(log.events().size(), 3U);
  EXPECT_EQ(log.events().back(), halog::Event{halog::MgmtThreadTerminate{}});
}

TEST_F(VirtualTokenTest, EqualMembersTakeTurns) {
  startServing();
  std::map<std::string, int> signatures;
  for (int i = 0; i < 30; ++i) ++signatures[sign(session).by];
  EXPECT_EQ(signatures, (std::map<std::string, int>{{"A", 10}, {"B", 10}, {"C", 10}}));
  EXPECT_TRUE(news().empty());
}

TEST_F(VirtualTokenTest, AllMembersLostIsSaidOnceAndSessionsSurviveIt) {
  startServing();
  for (const auto& member : members) member->down = Outcome{CKR_DEVICE_ERROR, Fate::NotSent};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(sign(session).rv, CKR_DEVICE_ERROR);
    scheduler.run();
  }
  EXPECT_EQ(lines<halog::DropMember>(), 3U);
  EXPECT_EQ(lines<halog::MembersOffline>(), 1U);
  EXPECT_EQ(news().back(), halog::Event{halog::MembersOffline{}});
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::RecoveryFailed>(), 3U);
  EXPECT_EQ(lines<halog::MembersOffline>(), 1U);

  for (const auto& member : members) {
    member->down.reset();
    member->restart();
    member->renumber();
  }
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::Recovered>(), 3U);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"})) << "the same session, the same key handle";
}

TEST_F(VirtualTokenTest, OfTheTokenAnotherMemberTellsWhereOneCannotJustNow) {
  startServing();
  CK_TOKEN_INFO info{};
  for (const CK_RV rv : test::kAsk) {
    members[0]->script = test::answering(Fn::GetTokenInfo, {rv});
    EXPECT_EQ(token->call(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info)), CKR_OK) << rv;
  }
  const std::size_t asked = members[2]->count(Fn::GetTokenInfo);
  for (const auto& member : members) member->script = test::answering(Fn::GetTokenInfo, {CKR_GENERAL_ERROR});
  EXPECT_EQ(token->call(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info)), CKR_GENERAL_ERROR);
  EXPECT_EQ(members[2]->count(Fn::GetTokenInfo), asked + 1) << "no member can";
  scheduler.run();
  EXPECT_TRUE(news().empty()) << "none of them is lost by it";
}

// As SoftHSM does once the last session of a process on the token is closed.
TEST_F(VirtualTokenTest, AMemberThatGivesItsObjectsOtherHandlesHoldsTheSameObjects) {
  startServing();
  for (const auto& member : members) member->renumber();
  EXPECT_EQ(findKey(session), key);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
  EXPECT_TRUE(news().empty());
}

TEST_F(VirtualTokenTest, StandbyMembersServeOnlyWhereNobodyElseIsLeft) {
  startServing({2});
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B"}));
  EXPECT_TRUE(members[2]->loggedIn());
  for (const unsigned active : {0U, 1U}) members[active]->down = Outcome{CKR_DEVICE_ERROR};
  EXPECT_EQ(signers(), std::set<std::string>{"C"});
  EXPECT_EQ(lines<halog::MembersOffline>(), 0U);
  members[0]->down.reset();
  scheduler.advance(seconds(60));
  EXPECT_EQ(signers(), std::set<std::string>{"A"});
}

// An operation that moves leaves nothing behind on a member that stays: SoftHSM and others have one a session.
TEST_F(VirtualTokenTest, AnOperationEndsOnTheStandbyMemberItBeganOn) {
  startServing({2});
  const auto loseActives = [&] {
    for (const unsigned active : {0U, 1U}) members[active]->down = Outcome{CKR_DEVICE_ERROR};
    EXPECT_EQ(signers(), std::set<std::string>{"C"});
  };
  loseActives();
  EXPECT_EQ(&begin(session), members[2].get());
  members[0]->down.reset();
  scheduler.advance(seconds(60));
  EXPECT_EQ(finish(session).by, "C");
  EXPECT_EQ(sign(session).by, "A");
  loseActives();
  EXPECT_EQ(sign(session).rv, CKR_OK);
  const CK_SESSION_HANDLE next = open();
  EXPECT_EQ(token->closeSession(session), CKR_OK);
  EXPECT_EQ(sign(next).rv, CKR_OK) << "given the member's session of the one before";
}

TEST_F(VirtualTokenTest, TheLastSessionsEndIsALogout) {
  startServing();
  const CK_SESSION_HANDLE other = open();
  EXPECT_EQ(token->closeSession(session), CKR_OK);
  for (const auto& member : members) EXPECT_TRUE(member->loggedIn());
  EXPECT_EQ(token->closeSession(other), CKR_OK);
  for (const auto& member : members) EXPECT_FALSE(member->loggedIn());
  EXPECT_EQ(token->closeSession(other), CKR_SESSION_HANDLE_INVALID);
}

TEST_F(VirtualTokenTest, StopLeavesNoSessionOnAMember) {
  startServing();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sign(open()).rv, CKR_OK);
  token->stop();
  scheduler.run();
  token.reset();
  for (const auto& member : members) {
    EXPECT_EQ(member->openSessions(), 0U);
    EXPECT_EQ(member->objectCount(), 1U) << "nothing of p11ha's own is left behind";
  }
}

TEST_F(VirtualTokenTest, AStateSaysWhoseItIs) {
  startServing();
  constexpr CK_ULONG kOwn = 4;
  for (const auto& member : members) {
    member->script = [](const Call& made) -> std::optional<Outcome> {
      if (made.fn == Fn::SetOperationState) return Outcome{made.get<CK_ULONG>(2) == kOwn ? CKR_OK : CKR_DATA_INVALID};
      if (made.fn != Fn::GetOperationState) return std::nullopt;
      *made.get<CK_ULONG*>(2) = kOwn;
      return Outcome{CKR_OK};
    };
  }
  std::vector<CK_BYTE> state(100);
  CK_ULONG length = state.size();
  ASSERT_EQ(call(session, makeCall<Fn::GetOperationState>(session, state.data(), &length)), CKR_OK);
  EXPECT_GT(length, kOwn);
  const auto set = [&](CK_ULONG given) {
    return call(session, makeCall<Fn::SetOperationState>(session, state.data(), given, CK_OBJECT_HANDLE{0},
                                                         CK_OBJECT_HANDLE{0}));
  };
  EXPECT_EQ(set(0), CKR_SAVED_STATE_INVALID) << "nobody's";
  EXPECT_EQ(set(length), CKR_OK) << "its member is given what is its own";
}

}  // namespace
}  // namespace p11ha::ha
