#include "tests/simulation/transition_check.h"

#include <algorithm>
#include <optional>
#include <type_traits>

namespace p11ha::simulation {

using ha::MemberEvent;
using ha::MemberState;
using ha::Phase;

namespace {

// Of the events that speak of one outage only.
std::optional<std::uint32_t> epochOf(const MemberEvent& event) {
  return std::visit(
      [](const auto& e) -> std::optional<std::uint32_t> {
        // Poisoned follows the outage that it is about.
        constexpr bool isOfOne = !std::is_same_v<std::decay_t<decltype(e)>, ha::event::Poisoned> && requires {
          e.epoch;
        };
        if constexpr (isOfOne) return e.epoch;
        return std::nullopt;
      },
      event);
}

template <class... Events>
std::size_t count(const std::vector<halog::Event>& lines) {
  std::size_t found = 0;
  for (const halog::Event& line : lines) found += (std::size_t{std::holds_alternative<Events>(line)} + ...);
  return found;
}

}  // namespace

ha::Decide TransitionCheck::decide() {
  return [this](const MemberState& before, const MemberEvent& event, base::Monotonic now,
                const ha::RecoveryPolicy& policy, const std::string& serial) {
    ha::Step after = decides_(before, event, now, policy, serial);
    check(before, event, now, policy, serial, after);
    return after;
  };
}

void TransitionCheck::expect(bool holds, const std::string& serial, const char* what) {
  if (!holds) problems_.push_back("member " + serial + ": " + what);
}

void TransitionCheck::check(const MemberState& before, const MemberEvent& event, base::Monotonic now,
                            const ha::RecoveryPolicy& policy, const std::string& serial, const ha::Step& after) {
  const std::vector<halog::Event>& log = after.effects.log;
  const MemberState& state = after.state;
  const Phase was = before.phase;
  const Phase is = state.phase;
  lines_.insert(lines_.end(), log.begin(), log.end());
  trace_ = (trace_ ^ (event.index() + 31 * static_cast<std::uint64_t>(is) + 1009 * state.epoch)) * 0x100000001B3U;

  if (const auto epoch = epochOf(event); epoch && *epoch != before.epoch) {
    expect(is == was && state.epoch == before.epoch && state.attempts == before.attempts && log.empty() &&
               !after.effects.timer && !after.effects.startAttempt,
           serial, "an event of another outage changed something");
  }
  const bool left = was == Phase::Active && is != Phase::Active;
  const bool failed = was == Phase::Recovering && (is == Phase::Down || is == Phase::GivenUp);
  const bool named =
      std::holds_alternative<ha::event::Removed>(event) || std::holds_alternative<ha::event::Added>(event);
  const std::size_t refusals = count<halog::LoginFailed, halog::MemberRefused>(log);
  const std::size_t losses =
      count<halog::DropMember, halog::MemberDeactivated, halog::DropUnrecoverable, halog::NotActivated>(log);
  const std::size_t failures = count<halog::RecoveryFailed, halog::StillNotActivated, halog::Unrecoverable>(log);
  expect(losses == (left && refusals == 0 ? 1U : 0U), serial, "its loss is not said once");
  expect(failures == (failed && refusals == 0 ? 1U : 0U), serial, "a failed attempt is not said once");
  expect(refusals <= (left || failed ? 1U : 0U), serial, "a refusal is said without reason");
  expect(count<halog::Recovered>(log) == (was == Phase::Recovering && is == Phase::Active ? 1U : 0U), serial,
         "its recovery is not said once");
  expect(count<halog::AttemptsExceeded>(log) == 0 || is == Phase::GivenUp, serial, "it is given up in words only");
  expect(count<halog::NewMember>(log) == (was == Phase::Removed && is != Phase::Removed ? 1U : 0U), serial,
         "that it is new is not said once");
  const auto* const attempt = std::get_if<ha::event::AttemptFailed>(&event);
  const bool received = failed && attempt != nullptr && attempt->received;
  const bool begunAnew =
      std::holds_alternative<ha::event::LoginMissed>(event) && was == Phase::Recovering && after.effects.startAttempt;
  expect((state.epoch != before.epoch) == (left || received || begunAnew || (named && is != was)), serial,
         "its epochs are not its outages");
  expect(state.nextAttempt.has_value() == (is == Phase::Down), serial,
         "it is down without a next attempt, or not down with one");
  expect(!after.effects.timer || *after.effects.timer >= now, serial, "its next attempt is in the past");
  expect(after.effects.timer.has_value() == (is == Phase::Down && (was != Phase::Down || after.effects.cancelTimer)),
         serial, "no timer for its next attempt");
  expect(after.effects.startAttempt == (is == Phase::Recovering && (was != Phase::Recovering || begunAnew)), serial,
         "it recovers and nobody tries");
  if (std::holds_alternative<ha::event::AttemptDue>(event) && is == Phase::Recovering && policy.attempts >= 0 &&
      !state.poisoned)
    // One that was asked for while another was under way is due, too.
    expect(state.attempts <= std::max<std::uint64_t>(static_cast<std::uint64_t>(policy.attempts), 1), serial,
           "more attempts than there may be");

  if (was == Phase::Recovering && is == Phase::Active && onRecovered) onRecovered(serial);
  active_[serial] = is == Phase::Active;
  const bool some = std::any_of(active_.begin(), active_.end(), [](const auto& each) { return each.second; });
  if (someUp_ && !some) ++outages_;
  someUp_ = some;
}

}  // namespace p11ha::simulation
