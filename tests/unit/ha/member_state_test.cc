#include "ha/member_state.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/unit/ha/answers.h"

namespace p11ha::ha {

bool operator==(const MemberState& a, const MemberState& b) {
  return a.phase == b.phase && a.cause == b.cause && a.epoch == b.epoch && a.attempts == b.attempts &&
         a.lastError == b.lastError && a.poisoned == b.poisoned;
}

namespace {

using test::kDeviceError;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

const std::string kSerial = "5011";
const base::Monotonic kNow{std::chrono::hours(3)};
constexpr std::chrono::seconds kInterval{60};
using Log = std::vector<halog::Event>;

RecoveryPolicy attempts(std::int64_t number) { return {number, kInterval}; }
const RecoveryPolicy kEndless = attempts(-1);

MemberState stateOf(Phase phase, Cause cause = Cause::None, std::uint64_t tries = 0, std::uint32_t epoch = 7) {
  MemberState state{phase, cause, epoch, tries, CKR_OK};
  state.since = state.attemptStarted = kNow;
  return state;
}

Step stepped(const MemberState& state, const MemberEvent& event, const RecoveryPolicy& policy = kEndless) {
  return step(state, event, kNow, policy, kSerial);
}

bool nothing(const Effects& effects) {
  return effects.log.empty() && !effects.serveChanged && !effects.timer && !effects.cancelTimer &&
         !effects.startAttempt;
}

constexpr Phase kPhases[] = {Phase::Active, Phase::Down, Phase::Recovering, Phase::GivenUp, Phase::Removed};
constexpr Cause kCauses[] = {Cause::None,         Cause::Unreachable, Cause::Dropped,
                             Cause::NotActivated, Cause::Deactivated, Cause::Revoked,
                             Cause::LoginRefused, Cause::Replaced,    Cause::Unfit};

// One of each event that carries an epoch.
std::vector<MemberEvent> epochEvents(std::uint32_t epoch) {
  return {event::Failed{epoch, CKR_DEVICE_ERROR},
          event::Deactivated{epoch},
          event::LoginRefused{epoch, CKR_PIN_INCORRECT},
          event::AttemptDue{epoch},
          event::AttemptSucceeded{epoch, 3},
          event::AttemptFailed{epoch, CKR_DEVICE_ERROR, {}},
          event::AttemptFailed{epoch, CKR_DEVICE_ERROR, {}, {}, true},
          event::LoginMissed{epoch},
          event::AttemptFailed{epoch, CKR_TOKEN_NOT_RECOGNIZED, Cause::Replaced},
          event::AttemptFailed{epoch, CKR_PIN_INCORRECT, Cause::LoginRefused},
          event::AttemptFailed{epoch, CKR_USER_NOT_LOGGED_IN, Cause::NotActivated},
          event::AttemptFailed{epoch, CKR_DEVICE_ERROR, Cause::Revoked},
          event::Refused{epoch, "it is PED based"}};
}

TEST(MemberState, StaleEpochsChangeNothing) {
  for (const Phase phase : kPhases) {
    for (const Cause cause : kCauses) {
      const MemberState before = stateOf(phase, cause, 2);
      for (const std::uint32_t stale : {0U, 1U, 6U, 8U, 0xffffffffU}) {
        for (const MemberEvent& event : epochEvents(stale)) {
          for (const std::int64_t limit : {-1, 0, 3}) {
            const Step after = stepped(before, event, attempts(limit));
            EXPECT_TRUE(after.state == before) << "phase " << int(phase) << " event " << event.index();
            EXPECT_TRUE(nothing(after.effects)) << "phase " << int(phase) << " event " << event.index();
          }
        }
      }
    }
  }
}

TEST(MemberState, EventsThatDoNotFitThePhaseChangeNothing) {
  // By MemberEvent's alternative: the phases that it means something to.
  const std::vector<std::vector<Phase>> fits = {
      {Phase::Active},
      {Phase::Active},
      {Phase::Active},
      {Phase::Active},
      {Phase::Down},
      {Phase::Recovering},
      {Phase::Recovering},
      {Phase::GivenUp},
      {Phase::Down, Phase::GivenUp},
      {Phase::Down, Phase::Recovering, Phase::GivenUp},
      {Phase::Active},
      {Phase::Active, Phase::Recovering},
      {Phase::Active, Phase::Down, Phase::Recovering, Phase::GivenUp},
      {Phase::Removed},
      {Phase::Down},
      {Phase::Down, Phase::Recovering},
      {Phase::Recovering},
  };
  std::vector<MemberEvent> events = epochEvents(7);
  events.insert(events.begin(), event::Unreachable{CKR_TOKEN_NOT_PRESENT});
  events.emplace_back(event::LoginStarted{});
  events.emplace_back(event::RecoverNow{});
  events.emplace_back(event::Poisoned{6});
  events.emplace_back(event::NotActivated{});
  events.emplace_back(event::Refused{7, "it is PED based"});
  events.emplace_back(event::Removed{});
  events.emplace_back(event::Added{});
  events.emplace_back(event::PolicyChanged{});
  events.emplace_back(event::GroupEnded{});
  for (const MemberEvent& event : events) {
    for (const Phase phase : kPhases) {
      const auto& right = fits[event.index()];
      const bool fit = std::find(right.begin(), right.end(), phase) != right.end();
      const Cause cause = phase == Phase::Active ? Cause::None : Cause::LoginRefused;
      const MemberState before = stateOf(phase, cause, 2);
      const Step after = stepped(before, event);
      EXPECT_EQ(after.state == before && nothing(after.effects), !fit)
          << "phase " << int(phase) << " event " << event.index();
    }
  }
}

struct Outage {
  const char* name;
  MemberEvent event;
  Cause cause;
  CK_RV error;
  halog::Event line;
};

std::vector<Outage> outages() {
  return {{"unreachable", event::Unreachable{CKR_TOKEN_NOT_PRESENT}, Cause::Unreachable, CKR_TOKEN_NOT_PRESENT,
           halog::DropUnrecoverable{kSerial}},
          {"failed", event::Failed{7, CKR_DEVICE_ERROR}, Cause::Dropped, CKR_DEVICE_ERROR, halog::DropMember{kSerial}},
          {"deactivated", event::Deactivated{7}, Cause::Deactivated, CKR_USER_NOT_LOGGED_IN,
           halog::MemberDeactivated{kSerial}},
          {"not activated", event::NotActivated{}, Cause::NotActivated, CKR_USER_NOT_LOGGED_IN,
           halog::NotActivated{kSerial}}};
}

TEST(MemberState, AnOutageEndsTheEpochIsLoggedOnceAndIsRetriedAfterTheInterval) {
  for (const Outage& outage : outages()) {
    for (const std::int64_t limit : {std::int64_t{-1}, std::int64_t{1}, std::int64_t{500}}) {
      SCOPED_TRACE(outage.name);
      const Step after = stepped(stateOf(Phase::Active), outage.event, attempts(limit));
      EXPECT_TRUE(after.state == (MemberState{Phase::Down, outage.cause, 8, 0, outage.error}));
      EXPECT_EQ(after.effects.log, Log{outage.line});
      EXPECT_TRUE(after.effects.serveChanged);
      EXPECT_EQ(after.effects.timer, kNow + kInterval);
      EXPECT_FALSE(after.effects.startAttempt);
      EXPECT_FALSE(after.effects.cancelTimer);
    }
  }
}

TEST(MemberState, WithoutRecoveryAnOutageIsGivenUpAtOnce) {
  for (const Outage& outage : outages()) {
    SCOPED_TRACE(outage.name);
    const Step after = stepped(stateOf(Phase::Active), outage.event, attempts(0));
    EXPECT_TRUE(after.state == (MemberState{Phase::GivenUp, outage.cause, 8, 0, outage.error}));
    EXPECT_EQ(after.effects.log, Log{outage.line});
    EXPECT_TRUE(after.effects.serveChanged);
    EXPECT_FALSE(after.effects.timer);
    EXPECT_FALSE(after.effects.startAttempt);
  }
}

TEST(MemberState, AnOutageForgetsTheAttemptsOfAnEarlierOne) {
  EXPECT_EQ(stepped(stateOf(Phase::Active, Cause::None, 9), event::Failed{7, CKR_DEVICE_ERROR}).state.attempts, 0U);
}

TEST(MemberState, ARefusedLoginIsNotRetriedByItself) {
  for (const std::int64_t limit : {-1, 0, 5}) {
    const Step after = stepped(stateOf(Phase::Active), event::LoginRefused{7, CKR_PIN_INCORRECT}, attempts(limit));
    EXPECT_TRUE(after.state == (MemberState{Phase::GivenUp, Cause::LoginRefused, 8, 0, CKR_PIN_INCORRECT}));
    EXPECT_EQ(after.effects.log, (Log{halog::LoginFailed{kSerial, {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT"}}}));
    EXPECT_TRUE(after.effects.serveChanged);
    EXPECT_FALSE(after.effects.timer);
    EXPECT_FALSE(after.effects.startAttempt);
  }
}

TEST(MemberState, TheTimerStartsTheNextAttempt) {
  const Step after = stepped(stateOf(Phase::Down, Cause::Dropped, 2), event::AttemptDue{7});
  EXPECT_TRUE(after.state == stateOf(Phase::Recovering, Cause::Dropped, 3));
  EXPECT_TRUE(after.effects.startAttempt);
  EXPECT_TRUE(after.effects.log.empty());
  EXPECT_FALSE(after.effects.serveChanged);
}

TEST(MemberState, AFailedAttemptIsLoggedWithItsNumberAndTriedAgain) {
  const Step after =
      stepped(stateOf(Phase::Recovering, Cause::Dropped, 3), event::AttemptFailed{7, CKR_DEVICE_ERROR, {}});
  EXPECT_TRUE(after.state == (MemberState{Phase::Down, Cause::Dropped, 7, 3, CKR_DEVICE_ERROR}));
  EXPECT_EQ(after.effects.log, (Log{halog::RecoveryFailed{3, kSerial, kDeviceError}}));
  EXPECT_EQ(after.effects.timer, kNow + kInterval);
  EXPECT_FALSE(after.effects.serveChanged);
}

TEST(MemberState, WhatCallsLearntOfAMemberInAFailedAttemptIsVoid) {
  const MemberState recovering = stateOf(Phase::Recovering, Cause::Dropped, 3);
  const Step after = stepped(recovering, event::AttemptFailed{7, CKR_DEVICE_ERROR, Cause::None, {}, true});
  EXPECT_TRUE(after.state == (MemberState{Phase::Down, Cause::Dropped, 8, 3, CKR_DEVICE_ERROR}));
}

TEST(MemberState, ALoginAmidAnAttemptBeginsItAnew) {
  const Step after = stepped(stateOf(Phase::Recovering, Cause::Dropped, 3), event::LoginMissed{7});
  EXPECT_TRUE(after.state == stateOf(Phase::Recovering, Cause::Dropped, 3, 8));
  EXPECT_TRUE(after.effects.startAttempt);
  EXPECT_EQ(after.effects.log, Log{});
}

TEST(MemberState, TheLastAttemptIsFollowedByAttemptsExceeded) {
  for (std::uint64_t number = 1; number <= 3; ++number) {
    const Step after = stepped(stateOf(Phase::Recovering, Cause::Dropped, number),
                               event::AttemptFailed{7, CKR_DEVICE_ERROR, {}}, attempts(3));
    Log expected{halog::RecoveryFailed{number, kSerial, kDeviceError}};
    if (number == 3) expected.emplace_back(halog::AttemptsExceeded{kSerial});
    EXPECT_EQ(after.effects.log, expected);
    EXPECT_EQ(after.state.phase, number == 3 ? Phase::GivenUp : Phase::Down);
    EXPECT_EQ(after.effects.timer.has_value(), number != 3);
  }
}

TEST(MemberState, RecoveryAskedForDuringAnAttemptFollowsIt) {
  for (const std::int64_t limit : {1, -1}) {
    Step after = stepped(stateOf(Phase::Recovering, Cause::Dropped, 1), event::RecoverNow{}, attempts(limit));
    EXPECT_TRUE(nothing(after.effects));
    after = stepped(after.state, event::AttemptFailed{7, CKR_DEVICE_ERROR, {}}, attempts(limit));
    EXPECT_EQ(after.effects.log, (Log{halog::RecoveryFailed{1, kSerial, kDeviceError}}));
    EXPECT_EQ(after.state.phase, Phase::Down);
    EXPECT_EQ(after.effects.timer, kNow);
    after = stepped(after.state, event::AttemptDue{7}, attempts(limit));
    EXPECT_TRUE(after.effects.startAttempt);
    // It was asked for once.
    after = stepped(after.state, event::AttemptFailed{7, CKR_DEVICE_ERROR, {}}, attempts(limit));
    EXPECT_EQ(after.state.phase, limit == 1 ? Phase::GivenUp : Phase::Down);
    EXPECT_NE(after.effects.timer, kNow);
  }
}

TEST(MemberState, AnAttemptDoesNotBeginTheOutageAnew) {
  MemberState state = stateOf(Phase::Down, Cause::Dropped, 1);
  state.since = kNow - std::chrono::hours(1);
  state = stepped(state, event::AttemptDue{7}).state;
  EXPECT_EQ(state.since, kNow - std::chrono::hours(1));
  state = stepped(state, event::AttemptFailed{7, CKR_DEVICE_ERROR, {}}).state;
  EXPECT_EQ(state.since, kNow - std::chrono::hours(1));
  state = stepped(stepped(state, event::AttemptDue{7}).state, event::AttemptSucceeded{7, 0}).state;
  EXPECT_EQ(state.since, kNow);
}

TEST(MemberState, AnOutageThatACallBroughtIsNotCountedAgainstTheLimit) {
  Step after = stepped(stateOf(Phase::Active), event::Failed{7, CKR_DEVICE_ERROR}, attempts(1));
  after = stepped(after.state, event::Poisoned{7}, attempts(1));
  EXPECT_TRUE(nothing(after.effects));
  for (std::uint64_t number = 1; number <= 3; ++number) {
    after = stepped(after.state, event::AttemptDue{8}, attempts(1));
    after = stepped(after.state, event::AttemptFailed{8, CKR_DEVICE_ERROR, {}}, attempts(1));
    EXPECT_EQ(after.state.phase, Phase::Down);
    EXPECT_EQ(after.effects.log, (Log{halog::RecoveryFailed{number, kSerial, kDeviceError}}));
  }
  // The next outage is counted.
  after = stepped(after.state, event::AttemptDue{8}, attempts(1));
  after = stepped(after.state, event::AttemptSucceeded{8, 0}, attempts(1));
  after = stepped(after.state, event::Failed{8, CKR_DEVICE_ERROR}, attempts(1));
  after = stepped(after.state, event::AttemptDue{9}, attempts(1));
  after = stepped(after.state, event::AttemptFailed{9, CKR_DEVICE_ERROR, {}}, attempts(1));
  EXPECT_EQ(after.state.phase, Phase::GivenUp);
}

TEST(MemberState, APoisonedCallSaysNothingOfAnotherOutage) {
  for (const MemberState& state : {stateOf(Phase::Active), stateOf(Phase::Down, Cause::Dropped, 0, 9)}) {
    EXPECT_TRUE(stepped(state, event::Poisoned{7}).state == state);
  }
}

TEST(MemberState, WithoutEndMeansWithoutEnd) {
  const Step after =
      stepped(stateOf(Phase::Recovering, Cause::Dropped, 1'000'000), event::AttemptFailed{7, CKR_DEVICE_ERROR, {}});
  EXPECT_EQ(after.state.phase, Phase::Down);
  EXPECT_EQ(after.effects.log.size(), 1U);
}

TEST(MemberState, AnotherTokenInItsPlaceIsUnrecoverable) {
  const Step after = stepped(stateOf(Phase::Recovering, Cause::Dropped, 2),
                             event::AttemptFailed{7, CKR_TOKEN_NOT_RECOGNIZED, Cause::Replaced});
  EXPECT_TRUE(after.state == (MemberState{Phase::GivenUp, Cause::Replaced, 7, 2, CKR_TOKEN_NOT_RECOGNIZED}));
  EXPECT_EQ(after.effects.log,
            (Log{halog::Unrecoverable{2, kSerial, {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED"}}}));
  EXPECT_FALSE(after.effects.timer);
}

TEST(MemberState, APinRefusedInAnAttemptIsNotTriedAgain) {
  const Step after = stepped(stateOf(Phase::Recovering, Cause::Dropped, 2),
                             event::AttemptFailed{7, CKR_PIN_INCORRECT, Cause::LoginRefused});
  EXPECT_TRUE(after.state == (MemberState{Phase::GivenUp, Cause::LoginRefused, 7, 2, CKR_PIN_INCORRECT}));
  EXPECT_EQ(after.effects.log, (Log{halog::LoginFailed{kSerial, {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT"}}}));
  EXPECT_FALSE(after.effects.timer);
}

TEST(MemberState, ARecoveredMemberServesAndItsAttemptsAreForgotten) {
  const Step after = stepped(stateOf(Phase::Recovering, Cause::Dropped, 4), event::AttemptSucceeded{7, 0});
  EXPECT_TRUE(after.state == stateOf(Phase::Active));
  EXPECT_EQ(after.effects.log, (Log{halog::Recovered{4, kSerial}}));
  EXPECT_TRUE(after.effects.serveChanged);
  EXPECT_FALSE(after.effects.timer);
}

TEST(MemberState, RecoverySaysActivatedThenReintroducingThenRecovered) {
  const Step after = stepped(stateOf(Phase::Recovering, Cause::Deactivated, 2), event::AttemptSucceeded{7, 12});
  EXPECT_EQ(after.effects.log, (Log{halog::MemberNowActivated{2, kSerial}, halog::Reintroducing{2, 12, kSerial},
                                    halog::Recovered{2, kSerial}}));
}

TEST(MemberState, ANewLoginReenablesOnlyMembersThatRefusedOne) {
  for (const Cause cause : kCauses) {
    const MemberState before = stateOf(Phase::GivenUp, cause, 5);
    const Step after = stepped(before, event::LoginStarted{});
    if (cause == Cause::LoginRefused) {
      EXPECT_TRUE(after.state == stateOf(Phase::Recovering, cause, 1));
      EXPECT_EQ(after.effects.log, (Log{halog::ReenableMember{kSerial}}));
      EXPECT_TRUE(after.effects.startAttempt);
    } else {
      EXPECT_TRUE(after.state == before);
      EXPECT_TRUE(nothing(after.effects));
    }
  }
}

TEST(MemberState, RecoverNowReenablesWhatWasGivenUpWhateverTheCause) {
  for (const Cause cause : kCauses) {
    const Step after = stepped(stateOf(Phase::GivenUp, cause, 5), event::RecoverNow{}, attempts(0));
    EXPECT_TRUE(after.state == stateOf(Phase::Recovering, cause, 1));
    EXPECT_EQ(after.effects.log, (Log{halog::ReenableMember{kSerial}}));
    EXPECT_TRUE(after.effects.startAttempt);
  }
}

TEST(MemberState, RecoverNowDoesNotWaitForTheTimer) {
  const Step after = stepped(stateOf(Phase::Down, Cause::Dropped, 2), event::RecoverNow{});
  EXPECT_TRUE(after.state == stateOf(Phase::Recovering, Cause::Dropped, 3));
  EXPECT_TRUE(after.effects.cancelTimer);
  EXPECT_TRUE(after.effects.startAttempt);
  EXPECT_TRUE(after.effects.log.empty());
}

TEST(MemberState, OfMembersNotActivatedAtTheStartTheLogSpeaksWithoutAnId) {
  Step after = stepped(stateOf(Phase::Active), event::NotActivated{});
  after = stepped(after.state, event::AttemptDue{8});
  after = stepped(after.state, event::AttemptFailed{8, CKR_USER_NOT_LOGGED_IN, Cause::NotActivated});
  EXPECT_EQ(after.effects.log, (Log{halog::StillNotActivated{kSerial}}));
  after = stepped(after.state, event::AttemptDue{8});
  after = stepped(after.state, event::AttemptSucceeded{8, 0});
  EXPECT_EQ(after.effects.log, (Log{halog::FirstActivated{kSerial}, halog::Recovered{2, kSerial}}));
}

TEST(MemberState, AMemberFoundDeactivatedIsSaidToBeActivatedAgain) {
  Step after = stepped(stateOf(Phase::Recovering, Cause::Dropped, 1),
                       event::AttemptFailed{7, CKR_USER_NOT_LOGGED_IN, Cause::NotActivated});
  EXPECT_EQ(after.effects.log,
            (Log{halog::RecoveryFailed{1, kSerial, {CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN"}}}));
  EXPECT_EQ(after.state.cause, Cause::Deactivated);
}

TEST(MemberState, ARevokedMemberIsSaidToBeSoOnceAndIsTriedAgain) {
  Step after =
      stepped(stateOf(Phase::Recovering, Cause::Dropped, 1), event::AttemptFailed{7, CKR_DEVICE_ERROR, Cause::Revoked});
  EXPECT_EQ(after.effects.log, (Log{halog::MemberRevoked{kSerial}, halog::RecoveryFailed{1, kSerial, kDeviceError}}));
  EXPECT_EQ(after.state.phase, Phase::Down);
  after = stepped(after.state, event::AttemptDue{7});
  after = stepped(after.state, event::AttemptFailed{7, CKR_DEVICE_ERROR, Cause::Revoked});
  EXPECT_EQ(after.effects.log, (Log{halog::RecoveryFailed{2, kSerial, kDeviceError}}));
}

TEST(MemberState, WhatKeepsAMemberAwayIsSaidWhenItIsNews) {
  Step after = stepped(stateOf(Phase::Active), event::Unreachable{CKR_DEVICE_ERROR, "no route"});
  EXPECT_EQ(after.effects.log, (Log{halog::DropUnrecoverable{kSerial}, halog::MemberProblem{kSerial, "no route"}}));
  for (const char* problem : {"no route", "its certificate has expired", "its certificate has expired"}) {
    const bool news = problem != after.state.problem;
    after = stepped(after.state, event::AttemptDue{8});
    after = stepped(after.state, event::AttemptFailed{8, CKR_DEVICE_ERROR, {}, problem});
    EXPECT_EQ(after.effects.log.size(), news ? 2U : 1U);
  }
}

TEST(MemberState, WhoDoesNotFitIsRefusedAndNotTriedAgain) {
  for (const Phase phase : {Phase::Active, Phase::Recovering}) {
    const Step after = stepped(stateOf(phase), event::Refused{7, "it is PED based"});
    EXPECT_EQ(after.state.phase, Phase::GivenUp);
    EXPECT_EQ(after.state.cause, Cause::Unfit);
    EXPECT_EQ(after.effects.log, (Log{halog::MemberRefused{kSerial, "it is PED based"}}));
    EXPECT_EQ(after.effects.serveChanged, phase == Phase::Active);
    EXPECT_FALSE(after.effects.timer);
  }
}

TEST(MemberState, ARemovedMemberIsDroppedAndComesBackOnlyWhenItIsNamedAgain) {
  for (const Phase phase : {Phase::Active, Phase::Down, Phase::Recovering, Phase::GivenUp}) {
    Step after = stepped(stateOf(phase), event::Removed{});
    EXPECT_EQ(after.state.phase, Phase::Removed);
    EXPECT_EQ(after.state.epoch, 8U);
    EXPECT_EQ(after.effects.log, phase == Phase::Active ? Log{halog::DropMember{kSerial}} : Log{});
    EXPECT_EQ(after.effects.cancelTimer, phase == Phase::Down);
    EXPECT_TRUE(after.effects.serveChanged);
    EXPECT_FALSE(after.effects.timer);
    after = stepped(after.state, event::Added{});
    EXPECT_EQ(after.state.phase, Phase::Recovering);
    EXPECT_EQ(after.state.attempts, 1U);
    EXPECT_EQ(after.effects.log, (Log{halog::NewMember{kSerial}}));
    EXPECT_TRUE(after.effects.startAttempt);
  }
}

// Attempts start an interval apart, however long each takes.
TEST(MemberState, AnIntervalIsFromStartToStart) {
  MemberState state = stateOf(Phase::Recovering, Cause::Dropped, 2);
  for (const auto& [took, waits] : {std::pair{20s, 40s}, std::pair{60s, 0s}, std::pair{90s, 0s}}) {
    state.attemptStarted = kNow - took;
    EXPECT_EQ(stepped(state, event::AttemptFailed{7, CKR_DEVICE_ERROR}).effects.timer, kNow + waits);
  }
}

TEST(MemberState, AMemberThatDoesNotStayWaitsLongerEachTime) {
  MemberState state = stateOf(Phase::Active);
  base::Monotonic now = kNow;
  for (const int intervals : {1, 2, 4, 8, 16, 16}) {
    Step after = step(state, event::Failed{state.epoch, CKR_DEVICE_ERROR}, now, kEndless, kSerial);
    EXPECT_EQ(after.effects.timer, now + intervals * kInterval);
    now = *after.effects.timer;
    after = step(after.state, event::AttemptDue{after.state.epoch}, now, kEndless, kSerial);
    state = step(after.state, event::AttemptSucceeded{after.state.epoch, 0}, now, kEndless, kSerial).state;
    now += kInterval;
  }
  now += 1ms;
  EXPECT_EQ(step(state, event::Failed{state.epoch, CKR_DEVICE_ERROR}, now, kEndless, kSerial).effects.timer,
            now + kInterval);
}

TEST(MemberState, AttemptsAreJitteredByATenthAtMost) {
  std::set<base::Monotonic> seen;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const Step after = stepped(stateOf(Phase::Active), event::Failed{7, CKR_DEVICE_ERROR}, {-1, kInterval, seed});
    ASSERT_TRUE(after.effects.timer);
    EXPECT_GE(*after.effects.timer, kNow + kInterval * 9 / 10);
    EXPECT_LE(*after.effects.timer, kNow + kInterval * 11 / 10);
    EXPECT_EQ(after.state.nextAttempt, after.effects.timer);
    seen.insert(*after.effects.timer);
  }
  EXPECT_GT(seen.size(), 50U);
}

TEST(MemberState, AnotherPolicyCountsForThoseThatWait) {
  MemberState state = stateOf(Phase::Down, Cause::Dropped, 2);
  state.attemptStarted = kNow - 10s;
  Step after = stepped(state, event::PolicyChanged{}, {-1, 30s});
  EXPECT_TRUE(after.effects.cancelTimer);
  EXPECT_EQ(after.effects.timer, kNow + 20s);
  EXPECT_EQ(stepped(state, event::PolicyChanged{}, {-1, 5s}).effects.timer, kNow);
  after = stepped(state, event::PolicyChanged{}, attempts(2));
  EXPECT_EQ(after.state.phase, Phase::GivenUp);
  EXPECT_EQ(after.effects.log, (Log{halog::AttemptsExceeded{kSerial}}));
  EXPECT_FALSE(after.effects.timer);
  // Who was given up for want of attempts has some again; who was for another reason has not.
  after = stepped(after.state, event::PolicyChanged{}, attempts(5));
  EXPECT_TRUE(after.effects.startAttempt);
  EXPECT_EQ(after.effects.log, (Log{halog::ReenableMember{kSerial}}));
  for (const Cause cause : {Cause::LoginRefused, Cause::Replaced, Cause::Unfit}) {
    EXPECT_TRUE(nothing(stepped(stateOf(Phase::GivenUp, cause, 0), event::PolicyChanged{}, attempts(5)).effects));
  }
}

TEST(MemberState, FiftyFailuresAtOnceAreOne) {
  MemberState state = stateOf(Phase::Active, Cause::None, 0, 1);
  std::size_t lines = 0;
  for (int i = 0; i < 50; ++i) {
    const Step after = stepped(state, event::Failed{1, CKR_DEVICE_ERROR});
    state = after.state;
    lines += after.effects.log.size();
  }
  EXPECT_EQ(lines, 1U);
  EXPECT_EQ(state.epoch, 2U);
}

}  // namespace
}  // namespace p11ha::ha
