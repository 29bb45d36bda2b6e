#include "compose/processes.h"

#include <signal.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace p11ha::compose {

std::optional<std::uint64_t> startOf(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // The second field is the program's name in brackets, which may hold brackets and blanks.
  const std::size_t name = text.rfind(')');
  if (name == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name + 1));
  std::string skipped;
  for (int i = 3; i < 22; ++i) fields >> skipped;
  std::uint64_t started = 0;
  return fields >> started ? std::optional(started) : std::nullopt;
}

bool mayBeAlive(std::int64_t pid, std::optional<std::uint64_t> started) {
  if (pid <= 0 || static_cast<pid_t>(pid) != pid) return false;
  if (kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) return false;
  const auto now = startOf(pid);
  return !now || !started || *now == *started;
}

}  // namespace p11ha::compose
