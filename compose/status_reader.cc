#include "compose/status_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <map>

#include "base/descriptor.h"
#include "compose/processes.h"

namespace p11ha::compose {
namespace {

// More than a hundred groups of 32 members have to say.
constexpr off_t kMostBytes = 4'194'304;

// Anybody may have put anything there: nothing is followed, waited for or read without end.
std::optional<std::string> contentOf(const std::string& path) {
  const base::Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  struct stat found {};
  if (!file || fstat(file.get(), &found) != 0 || !S_ISREG(found.st_mode) || found.st_size > kMostBytes)
    return std::nullopt;
  std::string content(static_cast<std::size_t>(found.st_size), '\0');
  const ssize_t size = ::read(file.get(), content.data(), content.size());
  content.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  return content;
}

// The process that a file of that name is of.
std::optional<std::int64_t> ownerOf(const std::string& name) {
  const std::size_t begin = name.find_first_not_of('.');
  if (begin == std::string::npos) return std::nullopt;
  std::int64_t pid = 0;
  const auto [rest, failed] = std::from_chars(name.data() + begin, name.data() + name.size(), pid);
  if (failed != std::errc() || pid <= 0) return std::nullopt;
  const bool known = name == statusFileName(pid) || name == metricsFileName(pid) || name == unfinishedFileName(pid);
  return known ? std::optional(pid) : std::nullopt;
}

struct Left {
  std::vector<std::string> paths;
  std::optional<ProcessReport> report;
};

// What is there, by process.
std::map<std::int64_t, Left> lookAt(const std::string& directory) {
  std::map<std::int64_t, Left> all;
  std::error_code failed;
  std::filesystem::directory_iterator at(directory, failed);
  for (; !failed && at != std::filesystem::directory_iterator(); at.increment(failed)) {
    const std::string name = at->path().filename().string();
    const auto pid = ownerOf(name);
    if (!pid) continue;
    Left& left = all[*pid];
    left.paths.push_back(at->path().string());
    if (name != statusFileName(*pid)) continue;
    if (const auto content = contentOf(left.paths.back())) left.report = parse(*content);
    if (left.report && left.report->pid != *pid) left.report.reset();
  }
  return all;
}

}  // namespace

std::string statusFileName(std::int64_t pid) { return std::to_string(pid) + ".status"; }

std::string metricsFileName(std::int64_t pid) { return std::to_string(pid) + ".prom"; }

std::string unfinishedFileName(std::int64_t pid) { return "." + std::to_string(pid) + ".new"; }

std::vector<ProcessReport> StatusReader::read() const {
  std::vector<ProcessReport> reports;
  for (auto& [pid, left] : lookAt(directory_)) {
    if (left.report && mayBeAlive(pid, left.report->started)) reports.push_back(*std::move(left.report));
  }
  return reports;
}

std::vector<std::string> StatusReader::leftovers() const {
  std::vector<std::string> paths;
  for (const auto& [pid, left] : lookAt(directory_)) {
    const auto started = left.report ? std::optional(left.report->started) : std::nullopt;
    if (!mayBeAlive(pid, started)) paths.insert(paths.end(), left.paths.begin(), left.paths.end());
  }
  return paths;
}

}  // namespace p11ha::compose
