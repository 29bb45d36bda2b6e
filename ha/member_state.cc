#include "ha/member_state.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "cryptoki/return_codes.h"

namespace p11ha::ha {
namespace {

constexpr std::uint8_t kMostBackoff = 4;

halog::Code code(CK_RV rv) { return {rv, cryptoki::returnCodeName(rv)}; }

// The finalizer of splitmix64: equal seeds make equal schedules, in every process of this machine and in every test.
std::uint64_t mixed(std::uint64_t bits) {
  bits += 0x9E3779B97F4A7C15U;
  bits = (bits ^ (bits >> 30U)) * 0xBF58476D1CE4E5B9U;
  bits = (bits ^ (bits >> 27U)) * 0x94D049BB133111EBU;
  return bits ^ (bits >> 31U);
}

class Transition {
 public:
  Transition(const MemberState& state, base::Monotonic now, const RecoveryPolicy& policy, const std::string& serial)
      : now_(now), policy_(policy), serial_(serial), result_{state, {}} {}

  Step take(const MemberState& before) {
    // Attempts are part of an outage: they do not begin it anew.
    const auto outage = [](Phase phase) { return phase == Phase::Recovering ? Phase::Down : phase; };
    if (outage(state().phase) != outage(before.phase) || wentDown_) state().since = now_;
    if (state().phase != Phase::Down) state().nextAttempt.reset();
    return std::move(result_);
  }

  void operator()(const event::Unreachable& e) {
    if (state().phase != Phase::Active || state().cause != Cause::None) return;
    goDown(Cause::Unreachable, e.rv);
    log(halog::DropUnrecoverable{serial_});
    tell(e.problem);
    scheduleOrGiveUp();
  }

  void operator()(const event::NotActivated&) {
    if (state().phase != Phase::Active || state().cause != Cause::None) return;
    goDown(Cause::NotActivated, CKR_USER_NOT_LOGGED_IN);
    log(halog::NotActivated{serial_});
    scheduleOrGiveUp();
  }

  void operator()(const event::Refused& e) {
    if (servesUnder(e.epoch)) {
      goDown(Cause::Unfit, CKR_TOKEN_NOT_RECOGNIZED);
    } else if (!recoversUnder(e.epoch)) {
      return;
    }
    state().lastError = CKR_TOKEN_NOT_RECOGNIZED;
    giveUp(Cause::Unfit);
    log(halog::MemberRefused{serial_, e.reason});
  }

  void operator()(const event::Failed& e) {
    if (!servesUnder(e.epoch)) return;
    goDown(Cause::Dropped, e.rv);
    log(halog::DropMember{serial_});
    scheduleOrGiveUp();
  }

  void operator()(const event::Deactivated& e) {
    if (!servesUnder(e.epoch)) return;
    goDown(Cause::Deactivated, CKR_USER_NOT_LOGGED_IN);
    log(halog::MemberDeactivated{serial_});
    scheduleOrGiveUp();
  }

  void operator()(const event::LoginRefused& e) {
    if (!servesUnder(e.epoch)) return;
    goDown(Cause::LoginRefused, e.rv);
    log(halog::LoginFailed{serial_, code(e.rv)});
    giveUp(Cause::LoginRefused);
  }

  void operator()(const event::Poisoned& e) {
    // Of the outage that it began, and of no later one.
    if (state().phase != Phase::Active && state().phase != Phase::Removed && state().epoch == e.epoch + 1)
      state().poisoned = true;
  }

  void operator()(const event::AttemptDue& e) {
    if (state().phase != Phase::Down || e.epoch != state().epoch) return;
    startAttempt();
  }

  void operator()(const event::AttemptSucceeded& e) {
    if (!recoversUnder(e.epoch)) return;
    if (state().cause == Cause::Deactivated) log(halog::MemberNowActivated{state().attempts, serial_});
    if (state().cause == Cause::NotActivated) log(halog::FirstActivated{serial_});
    if (e.objects != 0) log(halog::Reintroducing{state().attempts, e.objects, serial_});
    log(halog::Recovered{state().attempts, serial_});
    state().phase = Phase::Active;
    state().cause = Cause::None;
    state().attempts = 0;
    state().lastError = CKR_OK;
    state().poisoned = false;
    state().recoveredAt = now_;
    state().askedMeanwhile = false;
    state().problem.clear();
    effects().serveChanged = true;
  }

  void operator()(const event::AttemptFailed& e) {
    if (!recoversUnder(e.epoch)) return;
    if (e.received) ++state().epoch;
    state().lastError = e.rv;
    if (e.cause == Cause::Replaced) {
      giveUp(Cause::Replaced);
      log(halog::Unrecoverable{state().attempts, serial_, code(e.rv)});
      return;
    }
    if (e.cause == Cause::LoginRefused) {
      // Trying a refused PIN again would lock the token.
      giveUp(Cause::LoginRefused);
      log(halog::LoginFailed{serial_, code(e.rv)});
      return;
    }
    if (meetsNotActivated(e.cause)) {
      log(halog::StillNotActivated{serial_});
    } else {
      if (meetsRevoked(e.cause)) log(halog::MemberRevoked{serial_});
      log(halog::RecoveryFailed{state().attempts, serial_, code(e.rv)});
    }
    tell(e.problem);
    if (std::exchange(state().askedMeanwhile, false)) {
      beginAnew();
    } else if (isOver()) {
      log(halog::AttemptsExceeded{serial_});
      giveUp(state().cause);
    } else {
      wait();
    }
  }

  void operator()(const event::LoginMissed& e) {
    if (!recoversUnder(e.epoch)) return;
    ++state().epoch;
    effects().startAttempt = true;
  }

  void operator()(const event::LoginStarted&) {
    if (state().phase == Phase::GivenUp && state().cause == Cause::LoginRefused) reenable();
  }

  void operator()(const event::RecoverNow&) {
    if (state().phase == Phase::GivenUp) {
      reenable();
    } else if (state().phase == Phase::Down) {
      effects().cancelTimer = true;
      startAttempt();
    } else if (state().phase == Phase::Recovering) {
      state().askedMeanwhile = true;
    }
  }

  void operator()(const event::Removed&) {
    if (state().phase == Phase::Removed) return;
    if (state().phase == Phase::Active) log(halog::DropMember{serial_});
    effects().cancelTimer = state().phase == Phase::Down;
    goDown(Cause::None, CKR_OK);
    state().phase = Phase::Removed;
    state().recoveredAt.reset();
    state().problem.clear();
  }

  void operator()(const event::Added&) {
    if (state().phase != Phase::Removed) return;
    goDown(Cause::None, CKR_OK);
    state().backoff = 0;
    log(halog::NewMember{serial_});
    startAttempt();
  }

  void operator()(const event::GroupEnded&) {
    if (state().phase != Phase::Down && state().phase != Phase::Recovering) return;
    effects().cancelTimer = state().phase == Phase::Down;
    giveUp(state().cause);
  }

  void operator()(const event::PolicyChanged&) {
    if (state().phase == Phase::Down) {
      effects().cancelTimer = true;
      if (policy_.attempts == 0 || isOver()) {
        log(halog::AttemptsExceeded{serial_});
        giveUp(state().cause);
      } else {
        wait();
      }
    } else if (state().phase == Phase::GivenUp && !isFinal() && policy_.attempts != 0 && !isOver()) {
      reenable();
    }
  }

 private:
  MemberState& state() { return result_.state; }
  Effects& effects() { return result_.effects; }
  void log(halog::Event event) { effects().log.push_back(std::move(event)); }

  bool servesUnder(std::uint32_t epoch) { return state().phase == Phase::Active && epoch == state().epoch; }
  bool recoversUnder(std::uint32_t epoch) { return state().phase == Phase::Recovering && epoch == state().epoch; }
  // No attempt of this outage is left.
  bool isOver() {
    return policy_.attempts >= 0 && !state().poisoned &&
           state().attempts >= static_cast<std::uint64_t>(policy_.attempts);
  }
  // Given up for what more attempts would not change.
  bool isFinal() {
    const Cause cause = state().cause;
    return cause == Cause::LoginRefused || cause == Cause::Replaced || cause == Cause::Unfit;
  }

  bool meetsRevoked(Cause met) {
    return met == Cause::Revoked && std::exchange(state().cause, Cause::Revoked) != Cause::Revoked;
  }

  // Of the members that were not activated when the application began, the log speaks otherwise than of those that
  // were.
  bool meetsNotActivated(Cause met) {
    if (met != Cause::NotActivated) return false;
    const bool atStart = state().cause == Cause::NotActivated || state().cause == Cause::Unreachable;
    state().cause = atStart ? Cause::NotActivated : Cause::Deactivated;
    return atStart;
  }

  void tell(const std::string& problem) {
    if (problem.empty() || problem == state().problem) return;
    log(halog::MemberProblem{serial_, problem});
    state().problem = problem;
  }

  void giveUp(Cause cause) {
    state().cause = cause;
    state().phase = Phase::GivenUp;
  }

  void goDown(Cause cause, CK_RV rv) {
    const bool stayed = !state().recoveredAt || now_ - *state().recoveredAt > policy_.interval;
    if (stayed) {
      state().backoff = 0;
    } else if (state().phase == Phase::Active) {
      state().backoff = std::min<std::uint8_t>(kMostBackoff, state().backoff + 1);
    }
    state().phase = Phase::Down;
    state().cause = cause;
    state().lastError = rv;
    state().attempts = 0;
    state().poisoned = false;
    state().askedMeanwhile = false;
    ++state().epoch;
    wentDown_ = true;
    effects().serveChanged = true;
  }

  void scheduleOrGiveUp() {
    if (policy_.attempts == 0) {
      giveUp(state().cause);
    } else {
      wait();
    }
  }

  // The next attempt: from the outage, or from the start of the last one.
  void wait() {
    const bool isFirst = state().attempts == 0;
    const base::Monotonic began = !isFirst ? state().attemptStarted : wentDown_ ? now_ : state().since;
    const auto interval = std::chrono::duration_cast<std::chrono::milliseconds>(policy_.interval);
    const auto distance = (interval + interval * jitter() / 1000) * (isFirst ? 1 << state().backoff : 1);
    state().phase = Phase::Down;
    state().nextAttempt = std::max(now_, began + distance);
    effects().timer = state().nextAttempt;
  }

  // At once, and with all the attempts there may be.
  void beginAnew() {
    state().attempts = 0;
    state().backoff = 0;
    state().phase = Phase::Down;
    state().nextAttempt = now_;
    effects().timer = now_;
  }

  // In thousandths: a tenth more or less.
  std::int64_t jitter() {
    if (policy_.jitterSeed == 0) return 0;
    const std::uint64_t place = (std::uint64_t{state().epoch} << 32U) ^ state().attempts;
    const std::uint64_t drawn = mixed(policy_.jitterSeed ^ mixed(std::hash<std::string>{}(serial_) ^ mixed(place)));
    return static_cast<std::int64_t>(drawn % 201) - 100;
  }

  void startAttempt() {
    state().phase = Phase::Recovering;
    state().attemptStarted = now_;
    ++state().attempts;
    effects().startAttempt = true;
  }

  void reenable() {
    log(halog::ReenableMember{serial_});
    state().attempts = 0;
    state().backoff = 0;
    startAttempt();
  }

  const base::Monotonic now_;
  const RecoveryPolicy& policy_;
  const std::string& serial_;
  Step result_;
  bool wentDown_ = false;
};

}  // namespace

Step step(const MemberState& state, const MemberEvent& event, base::Monotonic now, const RecoveryPolicy& policy,
          const std::string& serial) {
  Transition transition(state, now, policy, serial);
  std::visit(transition, event);
  return transition.take(state);
}

}  // namespace p11ha::ha
