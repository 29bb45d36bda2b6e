// Bugs that are planted in the decisions, to see that the simulation finds them.
#include <gtest/gtest.h>

#include "tests/simulation/world.h"

namespace p11ha::simulation {
namespace {

using ha::MemberEvent;
using ha::MemberState;

// The first seed that finds it.
std::optional<std::uint64_t> foundBy(const ha::Decide& decides) {
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    World world(seed, decides);
    world.run(kSteps);
    if (world.problem()) return seed;
  }
  return std::nullopt;
}

// As the real one, but that `change` has its way with the result.
template <class Change>
ha::Decide planted(Change change) {
  return [change](const MemberState& before, const MemberEvent& event, base::Monotonic now,
                  const ha::RecoveryPolicy& policy, const std::string& serial) {
    ha::Step after = ha::step(before, event, now, policy, serial);
    change(before, event, after);
    return after;
  };
}

TEST(Planted, TheTimerOfTheSecondAttemptIsForgotten) {
  EXPECT_TRUE(foundBy(planted([](const MemberState& before, const MemberEvent&, ha::Step& after) {
    if (before.phase == ha::Phase::Recovering && before.attempts == 2) after.effects.timer.reset();
  })));
}

TEST(Planted, AMemberLostTwiceIsSaidToBeLostTwice) {
  EXPECT_TRUE(foundBy(planted([](const MemberState& before, const MemberEvent&, ha::Step& after) {
    if (before.epoch >= 2 && before.phase == ha::Phase::Active && after.state.phase == ha::Phase::Down)
      after.effects.log.push_back(after.effects.log.front());
  })));
}

// The epoch is not moved on: what was opened and learnt before the outage is taken for good.
TEST(Planted, AnOutageThatWasNotCountedIsFound) {
  EXPECT_TRUE(foundBy(planted([](const MemberState& before, const MemberEvent& event, ha::Step& after) {
    if (std::holds_alternative<ha::event::Deactivated>(event) && after.state.epoch != before.epoch)
      after.state.epoch = before.epoch;
  })));
}

}  // namespace
}  // namespace p11ha::simulation
