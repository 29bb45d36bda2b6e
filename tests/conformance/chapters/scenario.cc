#include "tests/conformance/chapters/scenario.h"

#include <stdexcept>

namespace p11ha::conformance {
namespace {

constexpr std::string_view kMechanism = "mechanism ";

}  // namespace

std::vector<Scenario> fixedScenarios() {
  std::vector<Scenario> all;
  for (const auto& some :
       {generalScenarios(), sessionScenarios(), objectScenarios(), argumentScenarios(), stateScenarios()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

Scenario scenarioNamed(const std::string& name) {
  if (name.starts_with(kMechanism)) return mechanismScenario(name.substr(kMechanism.size()));
  for (Scenario& scenario : fixedScenarios()) {
    if (scenario.name == name) return std::move(scenario);
  }
  throw std::out_of_range("no scenario \"" + name + "\"");
}

std::string mechanismScenarioName(const std::string& mechanism) { return std::string(kMechanism) + mechanism; }

}  // namespace p11ha::conformance
