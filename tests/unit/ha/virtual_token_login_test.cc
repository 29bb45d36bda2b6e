// PINs, and members that refuse them or forget that they took one.
#include <set>
#include <utility>

#include "tests/unit/ha/answers.h"
#include "tests/unit/ha/virtual_token_fixture.h"

namespace p11ha::ha {
namespace {

using std::chrono::seconds;
using test::Fn;
using test::Log;
using test::makeCall;
using test::ScriptedMember;

class VirtualTokenLogin : public test::VirtualTokenTest {
 protected:
  /// The next start() is another application's, with the same members.
  void startOver() {
    token->stop();
    scheduler.run();
    token.reset();
    scheduler.clear();
    for (const auto& member : members) {
      member->script = nullptr;
      member->made.clear();
    }
  }
};

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
    startOver();
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

TEST_F(VirtualTokenLogin, AMemberLostInALoginWaitsForTheNextOne) {
  startOpen();
  members[0]->script = test::answering(Fn::Login, {CKR_DEVICE_ERROR, cryptoki::Fate::Unknown});
  EXPECT_EQ(login(session), CKR_OK);
  const Log expected{halog::LoginFailed{"A", {CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR"}}};
  EXPECT_EQ(news(), expected);
  members[0]->script = nullptr;
  scheduler.advance(seconds(3600));
  EXPECT_EQ(news(), expected) << "not by the login that lost it";
  EXPECT_EQ(call(session, makeCall<Fn::Logout>(session)), CKR_OK);
  forgetNews();
  EXPECT_EQ(login(session), CKR_OK);
  EXPECT_EQ(news(), (Log{halog::ReenableMember{"A"}, halog::Recovered{1, "A"}}));
}

// What says nothing of the PIN, from a member that is there.
TEST_F(VirtualTokenLogin, WhereAMemberCannotTellJustNowTheNextIsAsked) {
  for (const CK_RV rv : test::kAsk) {
    startOpen();
    members[0]->script = test::answering(Fn::Login, {rv});
    EXPECT_EQ(login(session, "wrong"), CKR_PIN_INCORRECT) << rv;
    EXPECT_EQ(members[1]->count(Fn::Login), 1U);
    EXPECT_EQ(members[2]->count(Fn::Login), 0U) << "B has said what is to be said of it";
    EXPECT_TRUE(news().empty());
    // And it is asked again as one of the others.
    members[0]->script = [&, rv](const test::Call& made) -> std::optional<test::Outcome> {
      if (made.fn != Fn::Login) return std::nullopt;
      members[0]->script = nullptr;
      return test::Outcome{rv};
    };
    EXPECT_EQ(login(session), CKR_OK) << rv;
    for (const auto& member : members) EXPECT_TRUE(member->loggedIn());
    EXPECT_TRUE(news().empty());
    startOver();
  }
}

TEST_F(VirtualTokenLogin, WhereNoMemberCanTellJustNowTheApplicationHearsIt) {
  startOpen();
  for (const auto& member : members) member->script = test::answering(Fn::Login, {CKR_GENERAL_ERROR});
  EXPECT_EQ(login(session), CKR_GENERAL_ERROR);
  for (const auto& member : members) EXPECT_EQ(member->count(Fn::Login), 1U);
  EXPECT_TRUE(news().empty()) << "nobody is lost by it";
}

// As one whose process was killed.
TEST_F(VirtualTokenLogin, OneThatSaysNothingAndIsNotThereAnyMoreIsLost) {
  startOpen();
  members[0]->script = [&](const test::Call& made) -> std::optional<test::Outcome> {
    if (made.fn != Fn::Login && made.fn != Fn::GetTokenInfo) return std::nullopt;
    return test::Outcome{CKR_GENERAL_ERROR};
  };
  EXPECT_EQ(login(session, "wrong"), CKR_PIN_INCORRECT);
  EXPECT_EQ(news(), (Log{halog::LoginFailed{"A", {CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR"}}}));
}

// By what a token says whose users cannot log in now: one that was deactivated, one whose users have no PIN.
class VirtualTokenNotActivated : public VirtualTokenLogin, public testing::WithParamInterface<CK_RV> {};
INSTANTIATE_TEST_SUITE_P(Both, VirtualTokenNotActivated,
                         testing::Values(CKR_USER_NOT_LOGGED_IN, CKR_USER_PIN_NOT_INITIALIZED));

TEST_P(VirtualTokenNotActivated, APrimaryIsNotTheGroupsVerdict) {
  startOpen();
  members[0]->script = test::answering(Fn::Login, {GetParam()});
  EXPECT_EQ(login(session, "wrong"), CKR_PIN_INCORRECT);
  EXPECT_TRUE(news().empty()) << "nobody has logged in";
  EXPECT_EQ(login(session), CKR_OK);
  key = findKey(session);
  EXPECT_EQ(signers(), (std::set<std::string>{"B", "C"}));
  EXPECT_EQ(news(), (Log{halog::MemberDeactivated{"A"}}));
  scheduler.advance(seconds(60));
  EXPECT_EQ(news().back(),
            (halog::Event{halog::RecoveryFailed{1, "A", {CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN"}}}));
  members[0]->script = nullptr;
  forgetNews();
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::MemberNowActivated{2, "A"}, halog::Recovered{2, "A"}}));
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

TEST_P(VirtualTokenNotActivated, AnotherMemberIsOutTillItIs) {
  startOpen();
  members[1]->script = test::answering(Fn::Login, {GetParam()});
  EXPECT_EQ(login(session), CKR_OK);
  EXPECT_EQ(news(), (Log{halog::MemberDeactivated{"B"}}));
  members[1]->script = nullptr;
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::MemberDeactivated{"B"}, halog::MemberNowActivated{1, "B"}, halog::Recovered{1, "B"}}));
}

TEST_P(VirtualTokenNotActivated, WhereNoMemberIsTheApplicationHearsIt) {
  startOpen();
  for (const auto& member : members) member->script = test::answering(Fn::Login, {GetParam()});
  EXPECT_EQ(login(session), GetParam());
  EXPECT_TRUE(news().empty());
  // And the Security Officer can give the users a PIN.
  for (const auto& member : members) member->script = nullptr;
  EXPECT_EQ(login(session), CKR_OK);
  EXPECT_TRUE(news().empty());
}

TEST_F(VirtualTokenLogin, WithoutAPinAtTheMembersOwnPads) {
  for (const auto& member : members) member->tokenFlags |= CKF_PROTECTED_AUTHENTICATION_PATH;
  start();
  session = open();
  EXPECT_EQ(lines<halog::ConfiguredAsPed>(), 1U);
  EXPECT_EQ(lines<halog::ConfiguredAsPassword>(), 0U);
  EXPECT_EQ(call(session, makeCall<Fn::Login>(session, CK_USER_TYPE{CKU_USER}, nullptr, CK_ULONG{0})), CKR_OK);
  key = findKey(session);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
  forgetNews();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  members[1]->down.reset();
  members[1]->restart();
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"}, halog::Recovered{1, "B"}}));
  EXPECT_TRUE(members[1]->loggedIn());
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

class VirtualTokenPin : public VirtualTokenLogin {
 protected:
  CK_RV change() {
    std::string from = "sesame";
    std::string to = "parsley";
    return call(session, makeCall<Fn::SetPIN>(session, reinterpret_cast<CK_UTF8CHAR*>(from.data()), from.size(),
                                              reinterpret_cast<CK_UTF8CHAR*>(to.data()), to.size()));
  }
  static ScriptedMember::Script takingPins() { return test::answering(Fn::SetPIN, {CKR_OK}); }
};

TEST_F(VirtualTokenPin, IsTakenBackWhereAnotherMemberRefusesIt) {
  members[0]->script = members[2]->script = takingPins();
  members[1]->script = test::answering(Fn::SetPIN, {CKR_PIN_LEN_RANGE});
  startOpen();
  EXPECT_EQ(change(), CKR_PIN_LEN_RANGE);
  EXPECT_EQ(members[0]->count(Fn::SetPIN), 2U);
  EXPECT_EQ(members[2]->count(Fn::SetPIN), 0U);
  EXPECT_TRUE(news().empty());
}

TEST_F(VirtualTokenPin, IsUncertainWhereNobodyKnowsWhetherItWasChanged) {
  members[0]->script = members[2]->script = takingPins();
  members[1]->script = test::answering(Fn::SetPIN, {CKR_DEVICE_ERROR, cryptoki::Fate::Unknown});
  startOpen();
  EXPECT_EQ(change(), CKR_DEVICE_ERROR);
  scheduler.run();
  EXPECT_EQ(members[0]->count(Fn::SetPIN), 2U);
  EXPECT_EQ(news(), (Log{halog::PinUncertain{"C_SetPIN", "B"}, halog::DropMember{"B"}}));
}

TEST_F(VirtualTokenPin, IsUncertainWhereTheMemberThatTookItDoesNotGiveItUp) {
  bool taken = false;
  members[0]->script = [&](const test::Call& made) -> std::optional<test::Outcome> {
    if (made.fn != Fn::SetPIN) return std::nullopt;
    return test::Outcome{std::exchange(taken, true) ? CKR_PIN_INVALID : CKR_OK};
  };
  members[1]->script = test::answering(Fn::SetPIN, {CKR_PIN_LEN_RANGE});
  startOpen();
  EXPECT_EQ(change(), CKR_PIN_LEN_RANGE);
  EXPECT_EQ(news(), (Log{halog::PinUncertain{"C_SetPIN", "A"}}));
}

TEST_F(VirtualTokenPin, IsNotChangedWhileAMemberIsDown) {
  for (const auto& member : members) member->script = takingPins();
  startServing();
  members[2]->down = test::Outcome{CKR_DEVICE_REMOVED};
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B"}));
  forgetNews();
  EXPECT_EQ(change(), CKR_DEVICE_ERROR);
  EXPECT_EQ(members[0]->count(Fn::SetPIN), 0U);
  EXPECT_EQ(news(), (Log{halog::PinNotChanged{"C_SetPIN", "C"}}));
}

TEST_F(VirtualTokenLogin, AllMembersLostInALoginComeBackForTheNext) {
  startOpen();
  for (const auto& member : members) member->down = cryptoki::Outcome{CKR_DEVICE_ERROR};
  EXPECT_EQ(login(session), CKR_DEVICE_ERROR);
  for (const auto& member : members) member->down.reset();
  EXPECT_EQ(login(session), CKR_DEVICE_ERROR) << "nobody is there yet";
  EXPECT_EQ(lines<halog::ReenableMember>(), members.size());
  EXPECT_EQ(lines<halog::Recovered>(), members.size());
  EXPECT_EQ(login(session), CKR_OK);
}

}  // namespace
}  // namespace p11ha::ha
