#include "tests/support/program.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

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

void freeze(pid_t process) {
  const auto stands = [](const std::filesystem::directory_entry& thread) {
    std::ifstream file(thread.path() / "stat");
    std::string stat;
    std::getline(file, stat);
    // Behind the name, which may contain anything.
    const auto end = stat.rfind(") ");
    return end == std::string::npos || stat[end + 2] == 'T';
  };
  kill(process, SIGSTOP);
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  std::error_code gone;
  while (true) {
    const std::filesystem::directory_iterator all(tasks, gone);
    if (gone || std::all_of(begin(all), end(all), stands)) return;
    std::this_thread::yield();
  }
}

}  // namespace p11ha::tests
