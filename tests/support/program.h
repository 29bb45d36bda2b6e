// Programs of the project, run as a user runs them.
#pragma once

#include <sys/types.h>

#include <string>

namespace p11ha::tests {

struct Ran {
  int status = -1;  // -1 where it did not end by itself
  std::string text;
};

/// Runs a command of the shell to its end; `text` is its standard output.
Ran runCommandLine(const std::string& command);

/// SIGSTOP, and waits until no thread of it runs any more. SIGCONT lets it go on.
void freeze(pid_t process);

}  // namespace p11ha::tests
