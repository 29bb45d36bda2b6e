#include "testbed/failing_module/control_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

namespace p11ha::testbed {
namespace {

constexpr char kRules[] = "rules";
constexpr char kNewRules[] = "rules.new";
constexpr char kTally[] = "tally";
constexpr char kLock[] = "lock";
constexpr std::string_view kSocketEnding = ".sock";
constexpr std::string_view kHeader = "p11ha-failing-rules 1 next ";

std::optional<std::string> readAll(int fd) {
  std::string text;
  char part[4096];
  while (true) {
    const ssize_t n = read(fd, part, sizeof part);
    if (n == 0) return text;
    if (n > 0) text.append(part, static_cast<std::size_t>(n));
    if (n < 0 && errno != EINTR) return std::nullopt;
  }
}

}  // namespace

std::string ControlDir::errorText(std::string_view name) const {
  return path_ + (name.empty() ? "" : "/") + std::string(name) + ": " + std::generic_category().message(errno);
}

base::Result<ControlDir, std::string> ControlDir::open(const std::string& path) {
  ControlDir dir(path, base::Descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (!dir.dir_) return base::Failure{dir.errorText("")};
  return dir;
}

base::Result<base::Descriptor, std::string> ControlDir::lock() const {
  base::Descriptor fd(openat(dir_.get(), kLock, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return base::Failure{errorText(kLock)};
  while (flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return base::Failure{errorText(kLock)};
  }
  return fd;
}

base::Result<RuleFile, std::string> ControlDir::readRules() const {
  const base::Descriptor fd(openat(dir_.get(), kRules, O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return RuleFile{};
  const auto text = fd ? readAll(fd.get()) : std::nullopt;
  if (!text) return base::Failure{errorText(kRules)};
  std::istringstream lines(*text);
  std::string line;
  RuleFile file;
  if (!std::getline(lines, line) || !line.starts_with(kHeader) ||
      !(std::istringstream(line.substr(kHeader.size())) >> file.nextId)) {
    return base::Failure{path_ + "/" + kRules + ": is no rule file"};
  }
  while (std::getline(lines, line)) {
    std::vector<std::string> words = splitWords(line);
    std::uint64_t id = 0;
    if (words.empty() || !(std::istringstream(words.front()) >> id)) {
      return base::Failure{path_ + "/" + kRules + ": a line without its number"};
    }
    auto rule = parseRule(std::span(words).subspan(1));
    if (!rule) return base::Failure{path_ + "/" + kRules + ": " + rule.error()};
    rule->id = id;
    file.rules.push_back(*rule);
  }
  return file;
}

base::Result<bool, std::string> ControlDir::writeRules(const RuleFile& file) const {
  std::string text = std::string(kHeader) + std::to_string(file.nextId) + '\n';
  for (const Rule& rule : file.rules) text += std::to_string(rule.id) + ' ' + ruleText(rule) + '\n';
  const base::Descriptor fd(openat(dir_.get(), kNewRules, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd || !base::writeAll(fd.get(), text) || !rename(kNewRules, kRules)) {
    return base::Failure{errorText(kRules)};
  }
  return true;
}

sockaddr_un ControlDir::address(std::string_view name) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // A socket's path has 107 bytes at most; by way of the descriptor it is always short.
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%.*s", dir_.get(),
                static_cast<int>(name.size()), name.data());
  return address;
}

std::vector<std::string> ControlDir::sockets() const {
  std::vector<std::string> names;
  DIR* entries = fdopendir(openat(dir_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (entries == nullptr) return names;
  while (const dirent* entry = readdir(entries)) {
    if (std::string_view(entry->d_name).ends_with(kSocketEnding)) names.emplace_back(entry->d_name);
  }
  closedir(entries);
  return names;
}

void ControlDir::remove(std::string_view name) const { unlinkat(dir_.get(), std::string(name).c_str(), 0); }

bool ControlDir::rename(std::string_view from, std::string_view to) const {
  return renameat(dir_.get(), std::string(from).c_str(), dir_.get(), std::string(to).c_str()) == 0;
}

std::string ControlDir::readTally() const {
  const base::Descriptor fd(openat(dir_.get(), kTally, O_RDONLY | O_CLOEXEC));
  return fd ? readAll(fd.get()).value_or("") : "";
}

bool ControlDir::appendTally(std::string_view lines) const {
  const base::Descriptor fd(openat(dir_.get(), kTally, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  return fd && base::writeAll(fd.get(), lines);
}

}  // namespace p11ha::testbed
