#include "bench/process_cpu.h"

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

namespace p11ha::bench {
namespace {

using std::chrono::nanoseconds;

// Each process and its parent. The name in a stat line may hold anything, blanks and brackets too.
std::map<pid_t, pid_t> parents() {
  std::map<pid_t, pid_t> all;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "stat");
    std::string line;
    std::getline(file, line);
    const std::size_t end = line.rfind(") ");
    if (end == std::string::npos || end + 4 >= line.size()) continue;
    all[std::stoi(name)] = static_cast<pid_t>(std::strtol(line.c_str() + end + 4, nullptr, 10));
  }
  return all;
}

bool descends(pid_t process, const std::map<pid_t, pid_t>& parentOf, const std::set<pid_t>& from) {
  while (process > 1) {
    if (from.contains(process)) return true;
    const auto parent = parentOf.find(process);
    if (parent == parentOf.end()) return false;
    process = parent->second;
  }
  return false;
}

nanoseconds cpuTimeOf(pid_t process) {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &time) != 0) return nanoseconds(0);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

}  // namespace

nanoseconds cpuTimeOf(std::span<const pid_t> processes) {
  if (processes.empty()) return nanoseconds(0);
  const std::set<pid_t> from(processes.begin(), processes.end());
  const std::map<pid_t, pid_t> all = parents();
  nanoseconds sum(0);
  for (const auto& [process, parent] : all) {
    if (descends(process, all, from)) sum += cpuTimeOf(process);
  }
  return sum;
}

}  // namespace p11ha::bench
