// Running commands: one, or those of a script.
#pragma once

#include <istream>
#include <span>
#include <string>

#include "cli/session.h"

namespace p11ha::cli {

/// Runs the command that the words are, and shows its answer. Words that are PINs are wiped. Whether it succeeded.
bool runWords(Session& session, std::span<std::string> words);

/// Runs a line; one without words is nothing, and succeeds.
bool runLine(Session& session, std::string_view line);

/// Runs all lines up to the first that fails, with a blank line between their answers. `name` is the script's, for what
/// is said of that line.
bool runScript(Session& session, std::istream& lines, const std::string& name);

/// Reads commands from the terminal until `exit` or its end (libedit: history, completion). Whether the last succeeded.
bool runInteractively(Session& session);

}  // namespace p11ha::cli
