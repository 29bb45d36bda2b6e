// The HA core under whatever happens, as drawn from seeds: P11HA_SIM_FIRST is the first, P11HA_SIM_SCHEDULES how many.
// A seed that fails is named; P11HA_SIM_FIRST=SEED P11HA_SIM_SCHEDULES=1 replays it exactly.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/simulation/world.h"

namespace p11ha::simulation {
namespace {

std::uint64_t numberIn(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// What happened under a seed, the last of it.
std::string storyOf(std::uint64_t seed) {
  constexpr std::size_t kLines = 300;
  std::vector<std::string> story;
  World world(seed, &ha::step, &story);
  world.run(kSteps);
  std::string text = "seed " + std::to_string(seed) + ": " + world.problem().value_or("nothing") + "\n";
  for (std::size_t i = story.size() - std::min(story.size(), kLines); i < story.size(); ++i) text += story[i] + "\n";
  return text;
}

TEST(Simulation, HoldsWhateverHappens) {
  const std::uint64_t first = numberIn("P11HA_SIM_FIRST", 1);
  const std::uint64_t schedules = numberIn("P11HA_SIM_SCHEDULES", 1000);
  for (std::uint64_t seed = first; seed < first + schedules; ++seed) {
    World world(seed, &ha::step);
    world.run(kSteps);
    if (world.problem()) FAIL() << storyOf(seed);
  }
}

TEST(Simulation, ASeedIsOneSchedule) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    World once(seed, &ha::step);
    World again(seed, &ha::step);
    once.run(kSteps);
    again.run(kSteps);
    EXPECT_EQ(once.trace(), again.trace()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace p11ha::simulation
