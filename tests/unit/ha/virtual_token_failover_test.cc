// What becomes of calls whose member fails under them.
#include <array>
#include <set>
#include <utility>

#include "tests/unit/ha/answers.h"
#include "tests/unit/ha/virtual_token_fixture.h"

namespace p11ha::ha {
namespace {

using cryptoki::Fate;
using std::chrono::seconds;
using test::answering;
using test::Call;
using test::Fn;
using test::kAsk;
using test::Log;
using test::Outcome;
using test::ScriptedMember;
using VirtualTokenFailover = test::VirtualTokenTest;

TEST_F(VirtualTokenFailover, ASignatureGoesOnElsewhereWithItsInitRunAgain) {
  startServing();
  const Outcome failures[] = {{CKR_DEVICE_ERROR, Fate::Answered}, {CKR_DEVICE_ERROR, Fate::Unknown}};
  for (const Outcome failure : failures) {
    ScriptedMember& failing = begin(session);
    failing.script = answering(Fn::Sign, failure);
    std::size_t inits = 0;
    for (const auto& member : members) inits += member->count(Fn::SignInit);
    const Signed made = finish(session);
    scheduler.run();
    EXPECT_EQ(made.rv, CKR_OK);
    EXPECT_NE(made.by, failing.serial());
    for (const auto& member : members) inits -= member->count(Fn::SignInit);
    EXPECT_EQ(inits, std::size_t(0) - 1) << "C_SignInit was made once more";
    EXPECT_EQ(phase(failing), Phase::Down);
    EXPECT_EQ(news(), (Log{halog::DropMember{failing.serial()}}));
    forgetNews();
    failing.script = nullptr;
  }
}

TEST_F(VirtualTokenFailover, ADeviceErrorOfAllMembersIsTheApplications) {
  startServing();
  for (const auto& member : members) member->script = answering(Fn::Sign, {CKR_DEVICE_ERROR});
  begin(session);
  EXPECT_EQ(finish(session).rv, CKR_DEVICE_ERROR);
  scheduler.run();
  EXPECT_EQ(news(), Log{});
  for (const auto& member : members) member->script = nullptr;
  EXPECT_EQ(sign(open()).rv, CKR_OK);
}

TEST_F(VirtualTokenFailover, ADeviceErrorWhereAnotherMemberRefusesDropsNobody) {
  startServing();
  for (const auto& member : members) member->script = answering(Fn::Sign, {CKR_DATA_LEN_RANGE});
  begin(session).script = answering(Fn::Sign, {CKR_DEVICE_ERROR});
  EXPECT_EQ(finish(session).rv, CKR_DATA_LEN_RANGE);
  scheduler.run();
  EXPECT_EQ(news(), Log{});
}

// A second try would meet an operation that the first has ended.
TEST_F(VirtualTokenFailover, AnObjectThatNobodyKnowsIsAskedForOnce) {
  startServing();
  const CK_OBJECT_HANDLE own = std::exchange(key, 4711);
  std::size_t asked = 0;
  for (const auto& member : members) asked += member->count(Fn::SignInit);
  EXPECT_EQ(signInit(session), CKR_KEY_HANDLE_INVALID);
  for (const auto& member : members) asked -= member->count(Fn::SignInit);
  EXPECT_EQ(asked, std::size_t(0) - 1);
  key = own;
}

TEST_F(VirtualTokenFailover, AfterAFailoverTheOperationIsOver) {
  startServing();
  begin(session).script = answering(Fn::Sign, {CKR_DEVICE_ERROR});
  EXPECT_EQ(finish(session).rv, CKR_OK);
  EXPECT_EQ(finish(session).rv, CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(sign(session).rv, CKR_OK);
}

TEST_F(VirtualTokenFailover, FiftySessionsFailingAtOnceDropTheMemberOnce) {
  startServing();
  ScriptedMember& failing = *members[1];
  std::vector<CK_SESSION_HANDLE> waiting;
  while (waiting.size() < 50) {
    const CK_SESSION_HANDLE handle = open();
    if (&begin(handle) == &failing) waiting.push_back(handle);
  }
  // All fifty are inside the member when the first of them is told.
  std::size_t inside = 0;
  std::size_t served = 0;
  failing.script = [&](const Call& made) -> std::optional<Outcome> {
    if (made.fn != Fn::Sign) return std::nullopt;
    if (++inside < waiting.size() && finish(waiting[inside]).rv == CKR_OK) ++served;
    return Outcome{CKR_DEVICE_ERROR};
  };
  if (finish(waiting[0]).rv == CKR_OK) ++served;
  scheduler.run();
  EXPECT_EQ(inside, 50U);
  EXPECT_EQ(served, 50U);
  EXPECT_EQ(news(), (Log{halog::DropMember{failing.serial()}}));
}

TEST_F(VirtualTokenFailover, AFailureThatIsToldAfterTheRecoveryDropsNobody) {
  startServing();
  const CK_SESSION_HANDLE other = open();
  ScriptedMember& failing = begin(session);
  while (&begin(other) != &failing) EXPECT_EQ(finish(other).rv, CKR_OK);
  bool first = true;
  failing.script = [&](const Call& made) -> std::optional<Outcome> {
    if (made.fn != Fn::Sign) return std::nullopt;
    if (std::exchange(first, false)) {
      // While this call hangs, another one loses the member, and it is recovered.
      EXPECT_EQ(finish(other).rv, CKR_OK);
      scheduler.run();
      EXPECT_EQ(phase(failing), Phase::Down);
      failing.script = nullptr;
      scheduler.advance(seconds(15));
      token->recoverNow(indexOf(failing));
      scheduler.run();
      EXPECT_EQ(phase(failing), Phase::Active);
    }
    return Outcome{CKR_DEVICE_ERROR};
  };
  EXPECT_EQ(finish(session).rv, CKR_OK);
  scheduler.run();
  EXPECT_EQ(phase(failing), Phase::Active);
  EXPECT_EQ(news(), (Log{halog::DropMember{failing.serial()}, halog::Recovered{1, failing.serial()}}));
  EXPECT_EQ(signers().size(), 3U);
}

TEST_F(VirtualTokenFailover, AFailedMembersSessionIsNeverUsedAgain) {
  startServing();
  ScriptedMember& failing = *members[2];
  // One that is not there when the member fails, and so learns of it from the epoch alone.
  const CK_SESSION_HANDLE bystander = open();
  ASSERT_TRUE(signsOn(bystander, failing));
  std::set<CK_SESSION_HANDLE> old;
  for (const auto& made : failing.made) old.insert(made.session);
  old.erase(CK_INVALID_HANDLE);
  ASSERT_GE(old.size(), 2U);
  // The token still knows these sessions: only p11ha knows that they are void.
  loseInSign(failing, {CKR_DEVICE_ERROR});
  for (const CK_SESSION_HANDLE handle : old) EXPECT_TRUE(failing.hasSession(handle));
  failing.down.reset();
  failing.made.clear();
  scheduler.advance(seconds(60));
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
  ASSERT_TRUE(signsOn(bystander, failing));
  for (const auto& made : failing.made) {
    EXPECT_TRUE(made.fn == Fn::CloseSession || !old.contains(made.session)) << cryptoki::function(made.fn).name;
  }
  // Those known to have been given up at the recovery are closed by it; the bystander's, as it notices, by the next
  // one.
  failing.down = Outcome{CKR_DEVICE_ERROR};
  EXPECT_EQ(signers().count(failing.serial()), 0U);
  failing.down.reset();
  scheduler.advance(seconds(120));  // one that did not stay waits twice as long
  for (const CK_SESSION_HANDLE handle : old) EXPECT_FALSE(failing.hasSession(handle)) << "closed at a recovery";
}

TEST_F(VirtualTokenFailover, AMemberThatForgotASessionIsGivenAnother) {
  startServing();
  ScriptedMember& member = begin(session);
  const CK_SESSION_HANDLE forgotten = member.made.back().session;
  member.script = [forgotten](const Call& made) -> std::optional<Outcome> {
    const bool in = cryptoki::function(made.fn).route == cryptoki::Route::Session && made.session() == forgotten;
    return in ? std::optional(Outcome{CKR_SESSION_HANDLE_INVALID}) : std::nullopt;
  };
  const Signed made = finish(session);
  EXPECT_EQ(made.rv, CKR_OK);
  EXPECT_EQ(made.by, member.serial());
  EXPECT_EQ(signers().size(), 3U);
  EXPECT_TRUE(news().empty());
}

TEST_F(VirtualTokenFailover, ADoubtfulAnswerOfAHealthyMemberIsTheApplicationsAndKeepsTheMember) {
  startServing();
  for (const CK_RV rv : kAsk) {
    ScriptedMember& member = begin(session);
    member.script = answering(Fn::Sign, {rv});
    EXPECT_EQ(finish(session).rv, rv);
    scheduler.run();
    member.script = nullptr;
    EXPECT_EQ(phase(member), Phase::Active);
    // The member still has the operation: a new session is not in its way.
    session = open();
  }
  EXPECT_TRUE(news().empty());
  EXPECT_EQ(signers().size(), 3U);
}

TEST_F(VirtualTokenFailover, ADoubtfulAnswerOfADeadMemberIsNotTheApplications) {
  startServing();
  ScriptedMember& member = begin(session);
  member.script = [](const Call& made) -> std::optional<Outcome> {
    if (made.fn == Fn::Sign) return Outcome{CKR_GENERAL_ERROR};
    if (made.fn == Fn::GetTokenInfo) return Outcome{CKR_DEVICE_REMOVED};
    return std::nullopt;
  };
  const Signed made = finish(session);
  scheduler.run();
  EXPECT_EQ(made.rv, CKR_OK);
  EXPECT_NE(made.by, member.serial());
  EXPECT_EQ(news(), (Log{halog::DropMember{member.serial()}}));
}

TEST_F(VirtualTokenFailover, AnApplicationsMistakeIsAskedOfOneMemberOnly) {
  startServing();
  ScriptedMember& member = begin(session);
  member.script = answering(Fn::Sign, {CKR_DATA_LEN_RANGE});
  std::size_t calls = 0;
  for (const auto& each : members) calls += each->count(Fn::Sign);
  EXPECT_EQ(finish(session).rv, CKR_DATA_LEN_RANGE);
  for (const auto& each : members) calls -= each->count(Fn::Sign);
  EXPECT_EQ(calls, std::size_t(0) - 1);
  EXPECT_TRUE(news().empty());
}

TEST_F(VirtualTokenFailover, ACallThatEndedTwoMembersIsNotSentToAThird) {
  startServing();
  for (const auto& member : members) member->script = answering(Fn::Sign, {CKR_DEVICE_ERROR, Fate::Unknown});
  ASSERT_EQ(signInit(session), CKR_OK);
  EXPECT_EQ(finish(session).rv, CKR_DEVICE_ERROR);
  scheduler.run();
  EXPECT_EQ(lines<halog::DropMember>(), 2U);
  for (const auto& member : members) member->script = nullptr;
  EXPECT_EQ(signers().size(), 1U);
}

TEST_F(VirtualTokenFailover, AMemberThatHangsIsDroppedForTheOthersAfterTheDeadline) {
  startServing();
  ScriptedMember& hanging = begin(session);
  session = open();
  const CK_SESSION_HANDLE stuck = open();
  while (&begin(stuck) != &hanging) EXPECT_EQ(finish(stuck).rv, CKR_OK);
  hanging.script = [&](const Call& made) -> std::optional<Outcome> {
    if (made.fn != Fn::Sign) return std::nullopt;
    hanging.script = nullptr;
    scheduler.advance(policy.callDeadline - seconds(1));
    EXPECT_EQ(phase(hanging), Phase::Active);
    scheduler.advance(seconds(3));
    EXPECT_EQ(phase(hanging), Phase::Down);
    EXPECT_EQ(signers().count(hanging.serial()), 0U);
    return std::nullopt;
  };
  EXPECT_EQ(finish(stuck).rv, CKR_OK) << "the stuck call returns when the module does";
  EXPECT_EQ(news(), (Log{halog::MemberHung{hanging.serial(), "C_Sign", 20'000}, halog::DropMember{hanging.serial()}}));
}

// What has been made on a member is worth nothing once it is lost, also where Management has followed already.
TEST_F(VirtualTokenFailover, AKeyWhoseMakerIsLostMeanwhileIsMadeAnew) {
  startServing();
  const CK_SESSION_HANDLE other = open();
  for (const auto& member : members) {
    member->script = [&self = *member](const Call& made) -> std::optional<Outcome> {
      if (made.fn != Fn::GenerateKey) return std::nullopt;
      auto secret = cryptoki::Template::copyOf(made.get<CK_ATTRIBUTE*>(2), made.get<CK_ULONG>(3));
      secret->addUlong(CKA_CLASS, CKO_SECRET_KEY);
      secret->addBytes(CKA_VALUE, std::array<std::uint8_t, 16>{});
      *made.get<CK_OBJECT_HANDLE*>(4) = self.put(std::move(*secret));
      return Outcome{CKR_OK};
    };
  }
  bool first = true;
  members[1]->script = [&, usual = members[1]->script](const Call& made) {
    if (made.fn == Fn::CreateObject && std::exchange(first, false)) {
      members[0]->down = Outcome{CKR_DEVICE_ERROR};
      for (std::size_t i = 0; i < members.size(); ++i) EXPECT_EQ(sign(other).rv, CKR_OK);
      scheduler.run();
      EXPECT_EQ(phase(*members[0]), Phase::Down);
    }
    return usual(made);
  };
  cryptoki::Template wanted;
  wanted.addUlong(CKA_KEY_TYPE, CKK_AES);
  wanted.addBool(CKA_TOKEN, false);
  wanted.addBool(CKA_PRIVATE, true);
  wanted.addBool(CKA_SENSITIVE, false);
  wanted.addBool(CKA_EXTRACTABLE, true);
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  ASSERT_EQ(
      call(session, cryptoki::makeCall<Fn::GenerateKey>(session, &mechanism, wanted.data(), wanted.count(), &key)),
      CKR_OK);
  EXPECT_FALSE(first);
  EXPECT_EQ(signers(), (std::set<std::string>{"B", "C"}));
}

TEST_F(VirtualTokenFailover, ASearchWhoseMemberIsLostMeanwhileIsBegunAnew) {
  startServing();
  const CK_SESSION_HANDLE other = open();
  members[0]->script = [&](const Call& made) -> std::optional<Outcome> {
    if (made.fn != Fn::FindObjects) return std::nullopt;
    members[0]->script = nullptr;
    members[0]->down = Outcome{CKR_DEVICE_ERROR};
    EXPECT_EQ(findKey(other), key);
    scheduler.run();
    EXPECT_EQ(phase(*members[0]), Phase::Down);
    return std::nullopt;
  };
  EXPECT_EQ(findKey(session), key);
}

TEST_F(VirtualTokenFailover, ASearchThatFailsMidwayLeavesNoneActive) {
  startServing();
  members[0]->script = answering(Fn::FindObjects, {CKR_GENERAL_ERROR});
  EXPECT_EQ(call(session, cryptoki::makeCall<Fn::FindObjectsInit>(session, nullptr, CK_ULONG{0})), CKR_GENERAL_ERROR);
  members[0]->script = nullptr;
  EXPECT_EQ(findKey(session), key);
}

TEST_F(VirtualTokenFailover, ASearchWithoutEndIsGivenUp) {
  startServing();
  members[0]->script = [](const Call& made) -> std::optional<Outcome> {
    if (made.fn != Fn::FindObjects) return std::nullopt;
    *made.get<CK_ULONG*>(3) = made.get<CK_ULONG>(2);
    return Outcome{CKR_OK};
  };
  EXPECT_EQ(call(session, cryptoki::makeCall<Fn::FindObjectsInit>(session, nullptr, CK_ULONG{0})), CKR_GENERAL_ERROR);
  EXPECT_EQ(call(session, cryptoki::makeCall<Fn::Logout>(session)), CKR_OK);
  EXPECT_EQ(login(session), CKR_OK) << "the same for the inventory";
}

// SoftHSM does so where it meets a file that another thread is removing.
TEST_F(VirtualTokenFailover, ASearchThatIsActiveAlthoughItsInitWasRefusedIsEnded) {
  startServing();
  members[0]->script = [&self = *members[0]](const Call& made) -> std::optional<Outcome> {
    if (made.fn != Fn::FindObjectsInit) return std::nullopt;
    self.script = nullptr;
    EXPECT_EQ(self.execute(made).rv, CKR_OK);
    return Outcome{CKR_GENERAL_ERROR};
  };
  const auto usual = members[0]->script;
  EXPECT_EQ(call(session, cryptoki::makeCall<Fn::FindObjectsInit>(session, nullptr, CK_ULONG{0})), CKR_GENERAL_ERROR);
  EXPECT_EQ(findKey(session), key);

  // The same in the inventory that a login takes.
  EXPECT_EQ(call(session, cryptoki::makeCall<Fn::Logout>(session)), CKR_OK);
  members[0]->script = usual;
  EXPECT_EQ(login(session), CKR_OK);
  EXPECT_NE(findKey(session), CK_INVALID_HANDLE);
}

TEST_F(VirtualTokenFailover, ACallThatEndsTwoMembersIsNamedAndTheirRecoveryIsNotCounted) {
  policy.recovery.attempts = 1;
  startServing();
  ScriptedMember& first = begin(session);
  for (const auto& member : members) member->script = answering(Fn::Sign, {CKR_DEVICE_ERROR, Fate::Unknown});
  EXPECT_EQ(finish(session).rv, CKR_DEVICE_ERROR);
  scheduler.run();
  const std::vector<halog::Event> said = news();
  const auto poisoned = std::find_if(said.begin(), said.end(), [](const halog::Event& event) {
    return std::holds_alternative<halog::CallPoisoned>(event);
  });
  ASSERT_NE(poisoned, said.end());
  const auto& named = std::get<halog::CallPoisoned>(*poisoned);
  EXPECT_EQ(named.function, "C_Sign");
  EXPECT_EQ(named.first, first.serial());
  EXPECT_NE(named.second, named.first);
  EXPECT_EQ(lines<halog::CallPoisoned>(), 1U);
  EXPECT_EQ(lines<halog::DropMember>(), 2U);

  for (const auto& member : members) {
    member->script = nullptr;
    if (phase(*member) == Phase::Down) member->down = Outcome{CKR_DEVICE_ERROR};
  }
  scheduler.advance(seconds(600));
  EXPECT_EQ(lines<halog::RecoveryFailed>(), 20U);
  EXPECT_EQ(lines<halog::AttemptsExceeded>(), 0U);
}

// Deactivation is noticed by whatever call meets it, also by those that p11ha makes on its own.
TEST_F(VirtualTokenFailover, AMemberFoundDeactivatedInAFanOutIsOut) {
  startServing();
  members[1]->deactivate();
  members[1]->script = answering(Fn::CreateObject, {CKR_USER_NOT_LOGGED_IN});
  cryptoki::Template wanted;
  wanted.addUlong(CKA_CLASS, CKO_DATA);
  wanted.addBool(CKA_TOKEN, true);
  CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
  EXPECT_EQ(call(session, cryptoki::makeCall<Fn::CreateObject>(session, wanted.data(), wanted.count(), &made)), CKR_OK);
  scheduler.run();
  EXPECT_EQ(news(), Log{halog::MemberDeactivated{"B"}});
}

}  // namespace
}  // namespace p11ha::ha
