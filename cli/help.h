// What the table of commands says to people.
#pragma once

#include <string>

#include "cli/command.h"
#include "cli/parse.h"

namespace p11ha::cli {

/// "-interval <seconds>". Pure; any thread, as what follows.
std::string writtenOption(const Option& option);
/// "hagroup interval -interval <seconds>".
std::string usageOf(const Command& command);
/// "{-path <directory> | -show} [-json]".
std::string usageOf(const std::vector<Option>& options);

/// A command that takes words as they are, and no options: its first option is what they are called.
bool takesWords(const Command& command);

/// All there is to say of one command.
std::string describe(const Command& command);

/// A line for each command, of one family or of all.
std::string overview(std::string_view family);

/// The command `help [WORD...]`.
Answer help(Session& session, const Arguments& arguments);

}  // namespace p11ha::cli
