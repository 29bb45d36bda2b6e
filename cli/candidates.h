// The values that completion offers.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/session.h"

namespace p11ha::cli {

/// Labels of groups, names of servers, or serial numbers of groups' members and of what modules show. Nobody who
/// presses a key waits for a server, and nothing is said into a line that is being edited.
std::vector<std::string> candidates(Session& session, Value kind);

}  // namespace p11ha::cli
