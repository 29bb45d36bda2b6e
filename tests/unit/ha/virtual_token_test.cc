// A whole group of scripted members on one thread and a manual clock.
#include "ha/virtual_token.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/manual_scheduler.h"
#include "tests/support/recording_sink.h"
#include "tests/support/scripted_member.h"

namespace p11ha::ha {
namespace {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using std::chrono::seconds;
using tests::ScriptedMember;

constexpr CK_RV kAsk[] = {CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_HOST_MEMORY, CKR_DEVICE_MEMORY};
const halog::Code kDeviceError{CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR"};

// Answers calls of that function so, and no other.
ScriptedMember::Script answering(Fn fn, Outcome outcome) {
  return [fn, outcome](const Call& call) { return call.fn == fn ? std::optional(outcome) : std::nullopt; };
}

class VirtualTokenTest : public testing::Test {
 protected:
  struct Signed {
    CK_RV rv = CKR_OK;
    std::string by;
  };

  VirtualTokenTest() {
    policy.label = "group";
    policy.serial = "1154438865287";
    for (const char* serial : {"A", "B", "C"}) {
      members.push_back(std::make_shared<ScriptedMember>(serial));
      members.back()->put(tests::privateKey("key"));
    }
  }
  ~VirtualTokenTest() override {
    if (!token) return;
    token->stop();
    scheduler.run();
  }

  void start(std::set<unsigned> standby = {}) {
    std::vector<MemberSpec> specs;
    for (unsigned i = 0; i < members.size(); ++i) specs.push_back({members[i], standby.contains(i)});
    token = std::make_unique<VirtualToken>(CK_SLOT_ID{0}, Face::Group, policy, std::move(specs),
                                           Ports{clock, scheduler, workers, log, sessions});
    token->start();
    scheduler.run();
  }
  // Started, logged in, every member's key proved: `session` has signed on each serving member.
  void startServing(const std::set<unsigned>& standby = {}) {
    start(standby);
    session = open();
    ASSERT_EQ(login(session), CKR_OK);
    key = findKey(session);
    std::set<std::string> signers;
    for (std::size_t i = 0; i < members.size(); ++i) signers.insert(sign(session).by);
    ASSERT_EQ(signers.size(), members.size() - standby.size());
    before = log.events().size();
  }

  CK_SESSION_HANDLE open(CK_FLAGS flags = CKF_RW_SESSION) {
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    EXPECT_EQ(
        token->call(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, flags | CKF_SERIAL_SESSION, nullptr, nullptr, &handle)),
        CKR_OK);
    return handle;
  }
  CK_RV call(CK_SESSION_HANDLE handle, Call made) P11HA_NO_THREAD_SAFETY_ANALYSIS {
    Session* const locked = sessions.lock(handle);
    if (locked == nullptr) return CKR_SESSION_HANDLE_INVALID;
    made.setSession(handle);
    const CK_RV rv = token->call(*locked, made);
    sessions.unlock(*locked);
    return rv;
  }
  CK_RV login(CK_SESSION_HANDLE handle, std::string pin = "sesame") {
    const CK_RV rv = call(handle, makeCall<Fn::Login>(handle, CK_USER_TYPE{CKU_USER},
                                                      reinterpret_cast<CK_UTF8CHAR*>(pin.data()), pin.size()));
    scheduler.run();
    return rv;
  }
  CK_OBJECT_HANDLE findKey(CK_SESSION_HANDLE handle) {
    CK_OBJECT_HANDLE found[2] = {};
    CK_ULONG count = 0;
    EXPECT_EQ(call(handle, makeCall<Fn::FindObjectsInit>(handle, nullptr, CK_ULONG{0})), CKR_OK);
    EXPECT_EQ(call(handle, makeCall<Fn::FindObjects>(handle, found, CK_ULONG{2}, &count)), CKR_OK);
    EXPECT_EQ(call(handle, makeCall<Fn::FindObjectsFinal>(handle)), CKR_OK);
    EXPECT_EQ(count, 1U);
    return found[0];
  }
  CK_RV signInit(CK_SESSION_HANDLE handle) {
    CK_MECHANISM mechanism{CKM_RSA_PKCS, nullptr, 0};
    return call(handle, makeCall<Fn::SignInit>(handle, &mechanism, key));
  }
  // The member that C_SignInit went to.
  ScriptedMember& begin(CK_SESSION_HANDLE handle) {
    std::vector<std::size_t> counts;
    for (const auto& member : members) counts.push_back(member->count(Fn::SignInit));
    EXPECT_EQ(signInit(handle), CKR_OK);
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (members[i]->count(Fn::SignInit) != counts[i]) return *members[i];
    }
    ADD_FAILURE() << "no member was asked";
    return *members[0];
  }
  Signed finish(CK_SESSION_HANDLE handle) {
    std::string data = "data";
    std::string signature(100, '\0');
    CK_ULONG length = signature.size();
    Signed result;
    result.rv = call(handle, makeCall<Fn::Sign>(handle, reinterpret_cast<CK_BYTE*>(data.data()), data.size(),
                                                reinterpret_cast<CK_BYTE*>(signature.data()), &length));
    if (result.rv != CKR_OK) return result;
    signature.resize(length);
    result.by = signature.substr(0, signature.find(' '));
    EXPECT_EQ(signature, result.by + " signed data");
    return result;
  }
  Signed sign(CK_SESSION_HANDLE handle) {
    if (const CK_RV rv = signInit(handle); rv != CKR_OK) return {rv, {}};
    return finish(handle);
  }
  // Lets the session take turns until that member signs.
  bool signsOn(CK_SESSION_HANDLE handle, const ScriptedMember& member) {
    for (std::size_t i = 0; i < 2 * members.size(); ++i) {
      if (sign(handle).by == member.serial()) return true;
    }
    return false;
  }
  // Who signs, given as many turns as there are members, and twice.
  std::set<std::string> signers() {
    std::set<std::string> all;
    for (std::size_t i = 0; i < 2 * members.size(); ++i) {
      const Signed made = sign(session);
      EXPECT_EQ(made.rv, CKR_OK);
      all.insert(made.by);
    }
    scheduler.run();
    return all;
  }
  // Makes the member fail in its next C_Sign, and signs until it has.
  void loseInSign(ScriptedMember& member, Outcome outcome) {
    member.down = outcome;
    EXPECT_EQ(signers().count(member.serial()), 0U);
  }

  unsigned indexOf(const ScriptedMember& member) const {
    return static_cast<unsigned>(
        std::find_if(members.begin(), members.end(), [&](const auto& each) { return each.get() == &member; }) -
        members.begin());
  }
  Phase phase(const ScriptedMember& member) const { return token->memberState(indexOf(member)).phase; }
  // What was logged since the group began to serve.
  std::vector<halog::Event> news() const {
    const std::vector<halog::Event> all = log.events();
    return {all.begin() + static_cast<std::ptrdiff_t>(before), all.end()};
  }
  void forgetNews() { before = log.events().size(); }
  template <class E>
  std::size_t lines() const {
    std::size_t count = 0;
    for (const halog::Event& event : news()) count += std::holds_alternative<E>(event) ? 1 : 0;
    return count;
  }

  GroupPolicy policy;
  tests::ManualClock clock;
  tests::ManualScheduler scheduler{clock};
  tests::InlineWorkers workers;
  tests::RecordingSink log;
  SessionTable sessions;
  std::vector<std::shared_ptr<ScriptedMember>> members;
  std::unique_ptr<VirtualToken> token;
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  std::size_t before = 0;
};

using Log = std::vector<halog::Event>;

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

TEST_F(VirtualTokenTest, ASignatureGoesOnElsewhereWithItsInitRunAgain) {
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

TEST_F(VirtualTokenTest, AfterAFailoverTheOperationIsOver) {
  startServing();
  begin(session).script = answering(Fn::Sign, {CKR_DEVICE_ERROR});
  EXPECT_EQ(finish(session).rv, CKR_OK);
  EXPECT_EQ(finish(session).rv, CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(sign(session).rv, CKR_OK);
}

TEST_F(VirtualTokenTest, FiftySessionsFailingAtOnceDropTheMemberOnce) {
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

TEST_F(VirtualTokenTest, AFailureThatIsToldAfterTheRecoveryDropsNobody) {
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

TEST_F(VirtualTokenTest, AFailedMembersSessionIsNeverUsedAgain) {
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
  scheduler.advance(seconds(60));
  for (const CK_SESSION_HANDLE handle : old) EXPECT_FALSE(failing.hasSession(handle)) << "closed at a recovery";
}

TEST_F(VirtualTokenTest, AMemberThatForgotASessionIsGivenAnother) {
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

TEST_F(VirtualTokenTest, ADoubtfulAnswerOfAHealthyMemberIsTheApplicationsAndKeepsTheMember) {
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

TEST_F(VirtualTokenTest, ADoubtfulAnswerOfADeadMemberIsNotTheApplications) {
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

TEST_F(VirtualTokenTest, AnApplicationsMistakeIsAskedOfOneMemberOnly) {
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

TEST_F(VirtualTokenTest, ACallThatEndedTwoMembersIsNotSentToAThird) {
  startServing();
  for (const auto& member : members) member->script = answering(Fn::Sign, {CKR_DEVICE_ERROR, Fate::Unknown});
  ASSERT_EQ(signInit(session), CKR_OK);
  EXPECT_EQ(finish(session).rv, CKR_DEVICE_ERROR);
  scheduler.run();
  EXPECT_EQ(lines<halog::DropMember>(), 2U);
  for (const auto& member : members) member->script = nullptr;
  EXPECT_EQ(signers().size(), 1U);
}

TEST_F(VirtualTokenTest, ADroppedMemberIsTriedEveryInterval) {
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

TEST_F(VirtualTokenTest, ARecoveredMemberServesAgainThoughItsHandlesAreOthers) {
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

TEST_F(VirtualTokenTest, WithoutAutoRecoveryADroppedMemberStaysAway) {
  policy.recovery.attempts = 0;
  startServing();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  members[1]->down.reset();
  scheduler.advance(seconds(3600));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"}}));
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "C"}));
}

TEST_F(VirtualTokenTest, CallsDoNotWaitForAnAttemptThatTakesLong) {
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

TEST_F(VirtualTokenTest, AnotherTokenInAMembersPlaceIsUnrecoverable) {
  startServing();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  members[1]->down.reset();
  members[1]->attachRv = CKR_TOKEN_NOT_RECOGNIZED;
  scheduler.advance(seconds(3600));
  EXPECT_EQ(news(), (Log{halog::DropMember{"B"},
                         halog::Unrecoverable{1, "B", {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED"}}}));
}

TEST_F(VirtualTokenTest, AMemberThatWasNotThereAtTheStartJoinsLater) {
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

TEST_F(VirtualTokenTest, AWrongPinIsAskedOfThePrimaryOnly) {
  start();
  session = open();
  forgetNews();
  EXPECT_EQ(login(session, "wrong"), CKR_PIN_INCORRECT);
  EXPECT_EQ(members[0]->count(Fn::Login), 1U);
  EXPECT_EQ(members[1]->count(Fn::Login), 0U);
  EXPECT_EQ(members[2]->count(Fn::Login), 0U);
  EXPECT_TRUE(news().empty());
  EXPECT_EQ(login(session), CKR_OK);
  for (const auto& member : members) EXPECT_TRUE(member->loggedIn());
}

TEST_F(VirtualTokenTest, AMemberThatRefusesThePinIsOutUntilTheNextLogin) {
  members[1]->pin = "other";
  start();
  session = open();
  forgetNews();
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

TEST_F(VirtualTokenTest, TheLastTryOfAPinIsNeverSpentOnTheCachedOne) {
  for (const CK_FLAGS flag : {CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED}) {
    members[2]->tokenFlags |= flag;
    start();
    session = open();
    forgetNews();
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

TEST_F(VirtualTokenTest, ADeactivatedMemberIsOutUntilItTakesThePinAgain) {
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

TEST_F(VirtualTokenTest, TheCallThatMetADeactivationIsToldWhereTheConfigurationSaysSo) {
  policy.failoverOnDeactivation = false;
  startServing();
  ScriptedMember& member = begin(session);
  member.deactivate();
  EXPECT_EQ(finish(session).rv, CKR_USER_NOT_LOGGED_IN);
  scheduler.run();
  EXPECT_EQ(news(), (Log{halog::MemberDeactivated{member.serial()}}));
  EXPECT_EQ(signers().size(), 2U);
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

TEST_F(VirtualTokenTest, AMemberThatHangsIsDroppedForTheOthersAfterTheDeadline) {
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

}  // namespace
}  // namespace p11ha::ha
