#include "tests/support/program.h"

#include <sys/wait.h>

#include <cstdio>

namespace p11ha::tests {

Ran runCommandLine(const std::string& command) {
  Ran ran;
  std::FILE* output = popen(command.c_str(), "r");
  if (output == nullptr) return ran;
  char part[4096];
  for (std::size_t got = 0; (got = std::fread(part, 1, sizeof part, output)) > 0;) ran.text.append(part, got);
  const int status = pclose(output);
  if (WIFEXITED(status)) ran.status = WEXITSTATUS(status);
  return ran;
}

}  // namespace p11ha::tests
