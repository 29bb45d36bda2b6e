// p11ha-failctl's commands, for the program and for tests that would rather not start one.
#pragma once

#include <chrono>
#include <span>
#include <string>

namespace p11ha::testbed {

struct CommandResult {
  int status = 0;  // 0: done, and in force in every process; 1: it could not be done; 2: misused
  std::string output;
  std::string error;
};

inline constexpr std::chrono::milliseconds kDefaultPatience{10000};

/// How the commands are spelt: a line each.
std::string commandUsage();

/// Carries out one command on a control folder, and returns when each process that listens there has done its part, or
/// when one of them has not for as long as `patience`. Any thread, any process.
CommandResult runCommand(const std::string& dir, std::span<const std::string> words,
                         std::chrono::milliseconds patience = kDefaultPatience);

/// The same, the words split at blanks.
CommandResult runCommand(const std::string& dir, const std::string& line,
                         std::chrono::milliseconds patience = kDefaultPatience);

}  // namespace p11ha::testbed
