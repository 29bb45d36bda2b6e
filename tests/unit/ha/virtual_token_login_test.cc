// PINs, and members that refuse them or forget that they took one.
#include <set>
#include <utility>

#include "tests/unit/ha/virtual_token_fixture.h"

namespace p11ha::ha {
namespace {

using std::chrono::seconds;
using test::Fn;
using test::Log;
using test::makeCall;
using test::ScriptedMember;
using VirtualTokenLogin = test::VirtualTokenTest;

TEST_F(VirtualTokenLogin, AWrongPinIsAskedOfThePrimaryOnly) {
  startOpen();
  EXPECT_EQ(login(session, "wrong"), CKR_PIN_INCORRECT);
  EXPECT_EQ(members[0]->count(Fn::Login), 1U);
  EXPECT_EQ(members[1]->count(Fn::Login), 0U);
  EXPECT_EQ(members[2]->count(Fn::Login), 0U);
  EXPECT_TRUE(news().empty());
  EXPECT_EQ(login(session), CKR_OK);
  for (const auto& member : members) EXPECT_TRUE(member->loggedIn());
}

TEST_F(VirtualTokenLogin, WhereSomebodyElseIsLoggedInThePinIsProvedOnAnotherMember) {
  members[0]->script = test::answering(Fn::Login, {CKR_USER_ALREADY_LOGGED_IN});
  startOpen();
  EXPECT_EQ(login(session, "wrong"), CKR_PIN_INCORRECT);
  EXPECT_EQ(members[1]->count(Fn::Login), 1U);
  EXPECT_EQ(members[2]->count(Fn::Login), 0U);
  EXPECT_EQ(login(session), CKR_OK);
  EXPECT_EQ(members[0]->count(Fn::Login), 3U) << "and once when it is its turn as one of the others";
  EXPECT_TRUE(members[1]->loggedIn());
  EXPECT_TRUE(members[2]->loggedIn());
  EXPECT_TRUE(news().empty());
}

TEST_F(VirtualTokenLogin, WhereSomebodyElseIsLoggedInEverywhereSoIsTheGroup) {
  for (const auto& member : members) member->script = test::answering(Fn::Login, {CKR_USER_ALREADY_LOGGED_IN});
  startOpen();
  EXPECT_EQ(login(session), CKR_OK);
  EXPECT_EQ(login(session), CKR_USER_ALREADY_LOGGED_IN);
  EXPECT_TRUE(news().empty());
}

TEST_F(VirtualTokenLogin, AMemberThatRefusesThePinIsOutUntilTheNextLogin) {
  members[1]->pin = "other";
  startOpen();
  EXPECT_EQ(login(session), CKR_OK);
  EXPECT_EQ(news(), (Log{halog::LoginFailed{"B", {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT"}}}));
  key = findKey(session);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "C"}));
  scheduler.advance(seconds(3600));
  EXPECT_EQ(members[1]->count(Fn::Login), 1U) << "trying again would lock the token";

  members[1]->pin = "sesame";
  EXPECT_EQ(call(session, makeCall<Fn::Logout>(session)), CKR_OK);
  forgetNews();
  EXPECT_EQ(login(session), CKR_OK);
  EXPECT_EQ(news(), (Log{halog::ReenableMember{"B"}, halog::Recovered{1, "B"}}));
  key = findKey(session);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

TEST_F(VirtualTokenLogin, TheLastTryOfAPinIsNeverSpentOnTheCachedOne) {
  for (const CK_FLAGS flag : {CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED}) {
    members[2]->tokenFlags |= flag;
    startOpen();
    EXPECT_EQ(login(session), CKR_OK);
    EXPECT_EQ(members[2]->count(Fn::Login), 0U);
    EXPECT_EQ(news(), (Log{halog::LoginFailed{"C", {CKR_PIN_LOCKED, "CKR_PIN_LOCKED"}}}));
    members[2]->tokenFlags &= ~flag;
    token->stop();
    scheduler.run();
    token.reset();
    scheduler.clear();
  }
}

TEST_F(VirtualTokenLogin, ADeactivatedMemberIsOutUntilItTakesThePinAgain) {
  startServing();
  ScriptedMember& member = *members[1];
  member.deactivate();
  const std::string right = std::exchange(member.pin, "changed");
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "C"}));
  EXPECT_EQ(news(), (Log{halog::MemberDeactivated{"B"}}));
  member.pin = right;
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::MemberDeactivated{"B"}, halog::MemberNowActivated{1, "B"}, halog::Recovered{1, "B"}}));
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

TEST_F(VirtualTokenLogin, TheCallThatMetADeactivationIsToldWhereTheConfigurationSaysSo) {
  policy.failoverOnDeactivation = false;
  startServing();
  ScriptedMember& member = begin(session);
  member.deactivate();
  EXPECT_EQ(finish(session).rv, CKR_USER_NOT_LOGGED_IN);
  scheduler.run();
  EXPECT_EQ(news(), (Log{halog::MemberDeactivated{member.serial()}}));
  EXPECT_EQ(signers().size(), 2U);
}

}  // namespace
}  // namespace p11ha::ha
