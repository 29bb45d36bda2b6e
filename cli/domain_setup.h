// The cloning domain of a group, as commands set it up (CLONING.md).
#pragma once

#include <optional>
#include <span>

#include "cli/session.h"
#include "cli/tokens.h"

namespace p11ha::cli {

/// What giving the Security Officer's PIN means, said before it is used.
inline constexpr const char* kDomainCost =
    "The Security Officer's PIN is used to make a cloning domain: keys by which the members hand each other keys that\n"
    "applications asked to be non-extractable. From then on, whoever knows a Security Officer's PIN, or the user's "
    "PIN\n"
    "and holds the disk of one member, can get at every key that is cloned: the group is as strong as its weakest\n"
    "store. Without a domain such keys stay on the one member that made them.\n";

struct DomainPins {
  const base::SecureBytes& user;
  const base::SecureBytes& officer;
};

enum class DomainStep {
  Plan,   ///< examines the members, and makes nothing
  Join,   ///< gives them all one generation of domain keys
  Renew,  ///< a new one: a member was removed
};

/// Takes that step with those members that are there. Says first what it costs, then what becomes of it. Blocks as the
/// members' calls do.
std::optional<Trouble> setDomainUp(Session& session, std::span<const Token* const> members, const DomainPins& pins,
                                   DomainStep step);

}  // namespace p11ha::cli
