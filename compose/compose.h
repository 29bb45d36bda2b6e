// From settings to members and groups: what the shared object and the manager both need.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compose/fleet.h"
#include "config/settings.h"
#include "cryptoki/modules.h"
#include "ha/virtual_token.h"

namespace p11ha::compose {

/// A group, ready to become a VirtualToken.
struct GroupPlan {
  ha::GroupPolicy policy;
  std::vector<ha::MemberSpec> members;
};

/// Everything the settings describe.
struct Composition {
  std::unique_ptr<Fleet> fleet;  // all members, and what else modules and servers show
  std::uint64_t jitterSeed = 0;  // of this process's attempts to recover members
  /// All of the fleet as slots of their own, with a login each; empty with HAOnly.
  std::vector<std::shared_ptr<cryptoki::Member>> memberSlots;
  std::vector<GroupPlan> groups;
  std::vector<std::string> complaints;  // one line each, to be shown: what is not there
};

/// Loads and initialises the modules, once each, asks the servers, and finds the members' tokens. A module that fails
/// costs its members only, as does a server; a member whose token is not seen is kept, to be looked for again by its
/// attach(). Blocks as the modules do, and for ConnectTimeout where a server does not answer.
Composition compose(const config::Settings& settings, cryptoki::Modules& modules);

/// What the settings say of all groups alike, and of member slots.
ha::GroupPolicy basePolicy(const config::Settings& settings, std::uint64_t jitterSeed);

/// The policy of one group.
ha::GroupPolicy policyOf(const config::Group& group, const config::Settings& settings, std::uint64_t jitterSeed);

bool isStandby(const config::Group& group, const std::string& serial);

/// What is said of a member whose token is not there.
std::string nobodyShows(const config::Group& group, const std::string& serial);

}  // namespace p11ha::compose
