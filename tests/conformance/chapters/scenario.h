// The scripts, by subject.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/conformance/script/client.h"

namespace p11ha::conformance {

/// One script: run in a process of its own, over fresh tokens.
struct Scenario {
  std::string name;
  std::function<void(Client&)> run;
};

/// Every function in every state of a session's operations, and how the operation is after it.
std::vector<Scenario> stateScenarios();
/// Every function with every bad and borderline argument, in the state that it is meant for.
std::vector<Scenario> argumentScenarios();
/// Every function before C_Initialize and after C_Finalize, in sessions of each kind, in closed ones; logging in and
/// out.
std::vector<Scenario> sessionScenarios();
/// Library, slots, tokens, PINs.
std::vector<Scenario> generalScenarios();
/// Objects.
std::vector<Scenario> objectScenarios();
/// One mechanism: every use that it is offered for.
Scenario mechanismScenario(const std::string& name);

/// All but those for mechanisms.
std::vector<Scenario> fixedScenarios();
/// Of any kind; throws std::out_of_range if there is none of that name.
Scenario scenarioNamed(const std::string& name);
/// "mechanism CKM_AES_CBC".
std::string mechanismScenarioName(const std::string& mechanism);

}  // namespace p11ha::conformance
