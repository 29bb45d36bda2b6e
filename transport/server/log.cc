#include "transport/server/log.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace p11ha::transport {
namespace {

constexpr std::size_t kLongestLine = 1024;
constexpr std::string_view kNames[] = {"error", "warning", "info", "debug"};

}  // namespace

std::string_view nameOf(LogLevel level) { return kNames[static_cast<std::size_t>(level)]; }

std::optional<LogLevel> findLogLevel(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

Log::~Log() {
  if (descriptor_ > 2) close(descriptor_);
}

std::optional<std::string> Log::open(const std::string& path) {
  int fresh = 2;
  if (!path.empty()) {
    fresh = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fresh < 0) return path + ": " + std::generic_category().message(errno);
  }
  use(fresh);
  return std::nullopt;
}

void Log::use(int descriptor) {
  const int before = descriptor_.load();
  if (before > 2 && descriptor > 2) {
    // In place: another thread may be about to write to it.
    dup3(descriptor, before, O_CLOEXEC);
    close(descriptor);
  } else {
    descriptor_.store(descriptor, std::memory_order_release);
  }
}

void Log::write(LogLevel level, std::string_view text) {
  if (!shows(level)) return;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  localtime_r(&now.tv_sec, &parts);
  char head[64];
  const std::size_t date = strftime(head, sizeof head, "%Y-%m-%d %H:%M:%S", &parts);
  std::snprintf(head + date, sizeof head - date, ".%03ld [%d] ", now.tv_nsec / 1000000, getpid());
  std::string line(head);
  line += nameOf(level);
  line += ": ";
  line += text.substr(0, kLongestLine);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  line += '\n';
  if (::write(descriptor_.load(std::memory_order_acquire), line.data(), line.size()) < 0) return;
}

}  // namespace p11ha::transport
