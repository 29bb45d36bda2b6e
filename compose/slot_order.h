// Which token has which slot, also while some are away.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/settings.h"

namespace p11ha::compose {

/// What modules show, as it came; then what servers show (nullopt: there is no server), by serial number. Members of
/// groups that nobody shows stand where they do while they are there, as far as can be told, so that the others keep
/// their slots: among the servers' tokens, if there are servers; else right before the next member of their group's
/// list, or at the end. Pure.
std::vector<std::string> slotOrder(std::vector<std::string> local, std::optional<std::set<std::string>> remote,
                                   const std::vector<config::Group>& groups);

}  // namespace p11ha::compose
