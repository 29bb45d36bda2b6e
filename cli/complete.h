// Completion of a line, from the table of commands.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace p11ha::cli {

/// The values there are of a kind: labels of groups, serial numbers.
using Values = std::function<std::vector<std::string>(Value kind)>;

/// What the last word of `line` can become, in the order of the table; a line that ends in a blank ends with an empty
/// word. Pure but for `values`.
std::vector<std::string> complete(std::string_view line, const Values& values);

}  // namespace p11ha::cli
