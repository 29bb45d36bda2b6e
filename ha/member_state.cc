#include "ha/member_state.h"

#include "cryptoki/return_codes.h"

namespace p11ha::ha {
namespace {

halog::Code code(CK_RV rv) { return {rv, cryptoki::returnCodeName(rv)}; }

class Transition {
 public:
  Transition(const MemberState& state, base::Monotonic now, const RecoveryPolicy& policy, const std::string& serial)
      : now_(now), policy_(policy), serial_(serial), result_{state, {}} {}

  Step take() { return std::move(result_); }

  void operator()(const event::Unreachable& e) {
    if (state().phase != Phase::Active || state().cause != Cause::None) return;
    goDown(Cause::Unreachable, e.rv);
    log(halog::DropUnrecoverable{serial_});
    scheduleOrGiveUp();
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
    state().phase = Phase::GivenUp;
  }

  void operator()(const event::Poisoned& e) {
    // Of the outage that it began, and of no later one.
    if (state().phase != Phase::Active && state().epoch == e.epoch + 1) state().poisoned = true;
  }

  void operator()(const event::AttemptDue& e) {
    if (state().phase != Phase::Down || e.epoch != state().epoch) return;
    startAttempt();
  }

  void operator()(const event::AttemptSucceeded& e) {
    if (!recoversUnder(e.epoch)) return;
    if (state().cause == Cause::Deactivated) log(halog::MemberNowActivated{state().attempts, serial_});
    if (e.objects != 0) log(halog::Reintroducing{state().attempts, e.objects, serial_});
    log(halog::Recovered{state().attempts, serial_});
    state().phase = Phase::Active;
    state().cause = Cause::None;
    state().attempts = 0;
    state().lastError = CKR_OK;
    state().poisoned = false;
    effects().serveChanged = true;
  }

  void operator()(const event::AttemptFailed& e) {
    if (!recoversUnder(e.epoch)) return;
    state().lastError = e.rv;
    if (e.cause == Cause::Replaced) {
      state().cause = Cause::Replaced;
      state().phase = Phase::GivenUp;
      log(halog::Unrecoverable{state().attempts, serial_, code(e.rv)});
      return;
    }
    if (e.cause == Cause::LoginRefused) {
      // Trying a refused PIN again would lock the token.
      state().cause = Cause::LoginRefused;
      state().phase = Phase::GivenUp;
      log(halog::LoginFailed{serial_, code(e.rv)});
      return;
    }
    log(halog::RecoveryFailed{state().attempts, serial_, code(e.rv)});
    if (limited() && !state().poisoned && state().attempts >= static_cast<std::uint64_t>(policy_.attempts)) {
      log(halog::AttemptsExceeded{serial_});
      state().phase = Phase::GivenUp;
      return;
    }
    wait();
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
    }
  }

 private:
  MemberState& state() { return result_.state; }
  Effects& effects() { return result_.effects; }
  void log(halog::Event event) { effects().log.push_back(std::move(event)); }

  bool servesUnder(std::uint32_t epoch) { return state().phase == Phase::Active && epoch == state().epoch; }
  bool recoversUnder(std::uint32_t epoch) { return state().phase == Phase::Recovering && epoch == state().epoch; }
  bool limited() const { return policy_.attempts >= 0; }

  void goDown(Cause cause, CK_RV rv) {
    state().phase = Phase::Down;
    state().cause = cause;
    state().lastError = rv;
    state().attempts = 0;
    state().poisoned = false;
    ++state().epoch;
    effects().serveChanged = true;
  }

  void scheduleOrGiveUp() {
    if (policy_.attempts == 0) {
      state().phase = Phase::GivenUp;
    } else {
      wait();
    }
  }

  void wait() {
    state().phase = Phase::Down;
    effects().timer = now_ + policy_.interval;
  }

  void startAttempt() {
    state().phase = Phase::Recovering;
    ++state().attempts;
    effects().startAttempt = true;
  }

  void reenable() {
    log(halog::ReenableMember{serial_});
    state().attempts = 0;
    startAttempt();
  }

  const base::Monotonic now_;
  const RecoveryPolicy& policy_;
  const std::string& serial_;
  Step result_;
};

}  // namespace

Step step(const MemberState& state, const MemberEvent& event, base::Monotonic now, const RecoveryPolicy& policy,
          const std::string& serial) {
  Transition transition(state, now, policy, serial);
  std::visit(transition, event);
  return transition.take();
}

}  // namespace p11ha::ha
