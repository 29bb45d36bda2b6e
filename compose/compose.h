// From settings to members and groups: what the shared object and the manager both need.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compose/remote_tokens.h"
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
  std::unique_ptr<RemoteTokens> remote;  // null: there are no servers
  std::vector<std::shared_ptr<cryptoki::LocalModule>> modules;
  std::vector<std::shared_ptr<cryptoki::Member>> tokens;  // all members, and what else modules and servers show
  /// The same as slots of their own, with a login each; empty with HAOnly.
  std::vector<std::shared_ptr<cryptoki::Member>> memberSlots;
  std::vector<GroupPlan> groups;
  std::vector<std::string> complaints;  // one line each, to be shown: what is not there
};

/// Loads and initialises the modules, once each, asks the servers, and finds the members' tokens. A module that fails
/// costs its members only, as does a server; a member whose token is not seen is kept, to be looked for again by its
/// attach(). Blocks as the modules do, and for ConnectTimeout where a server does not answer.
Composition compose(const config::Settings& settings, cryptoki::Modules& modules);

/// What the settings say of all groups alike, and of member slots.
ha::GroupPolicy basePolicy(const config::Settings& settings);

/// The policy of one group.
ha::GroupPolicy policyOf(const config::Group& group, const config::Settings& settings);

}  // namespace p11ha::compose
