// What a changed configuration asks for that a running process cannot do.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"

namespace p11ha::compose {

/// What differs between the settings that a process runs by and those of the file, and counts from the next
/// C_Initialize: one short text each, that names the key or the group. Groups are compared by their serial numbers.
/// Pure; any thread.
std::vector<std::string> pendingChanges(const config::Settings& running, const config::Settings& file);

}  // namespace p11ha::compose
