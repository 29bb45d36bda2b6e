#include "transport/server/log.h"

#include <fcntl.h>
#include <sys/stat.h>
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
  if (descriptor_ > kStandardError) close(descriptor_);
}

base::Result<base::Descriptor, std::string> Log::openFile(const std::string& path) {
  if (path.empty()) return base::Descriptor();
  // Nothing in its place may make this wait. Reading is for what takeBack() looks at.
  constexpr int kFlags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  base::Descriptor fresh(::open(path.c_str(), O_RDWR | kFlags, 0640));
  if (!fresh && errno == EACCES) fresh = base::Descriptor(::open(path.c_str(), O_WRONLY | kFlags, 0640));
  if (!fresh) return base::Failure{path + ": " + std::generic_category().message(errno)};
  return fresh;
}

std::optional<std::string> Log::open(const std::string& path) {
  auto fresh = openFile(path);
  if (!fresh) return fresh.error();
  use(std::move(*fresh));
  return std::nullopt;
}

void Log::use(int descriptor) {
  const int before = descriptor_.load();
  if (before > kStandardError && descriptor > kStandardError) {
    // In place: another thread may be about to write to it.
    dup3(descriptor, before, O_CLOEXEC);
    close(descriptor);
  } else {
    descriptor_.store(descriptor, std::memory_order_release);
  }
}

void Log::write(LogLevel level, std::string_view text) {
  if (!shows(level)) return;
  const int before = errno;
  if (const std::uint64_t dropped = dropped_.exchange(0, std::memory_order_relaxed); dropped != 0) {
    const std::string said = "the log could not be written: " + std::to_string(dropped) + " records were dropped here";
    if (!put(LogLevel::Error, said)) dropped_.fetch_add(dropped, std::memory_order_relaxed);
  }
  if (!put(level, text)) dropped_.fetch_add(1, std::memory_order_relaxed);
  errno = before;
}

// False: it is not there.
bool Log::put(LogLevel level, std::string_view text) {
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
  if (torn_.exchange(false, std::memory_order_relaxed)) line.insert(line.begin(), '\n');
  const int file = descriptor_.load(std::memory_order_acquire);
  ssize_t written = 0;
  while ((written = ::write(file, line.data(), line.size())) < 0 && errno == EINTR) {
  }
  if (written == static_cast<ssize_t>(line.size())) return true;
  if (written > 0 && !takeBack(file, std::string_view(line).substr(0, static_cast<std::size_t>(written))))
    torn_.store(true, std::memory_order_relaxed);
  return false;
}

// On a full disk, what fits of a line is written. Another process may have written more since, of which nothing must be
// lost: it is the end of the file that must be this part. Between the two looks, only a disk that has room again just
// then takes a line.
bool Log::takeBack(int file, std::string_view part) const {
  struct stat seen {};
  if (fstat(file, &seen) != 0 || !S_ISREG(seen.st_mode) || seen.st_size < static_cast<off_t>(part.size())) return false;
  const off_t whole = seen.st_size - static_cast<off_t>(part.size());
  std::string there(part.size(), '\0');
  return pread(file, there.data(), there.size(), whole) == static_cast<ssize_t>(there.size()) && there == part &&
         ftruncate(file, whole) == 0;
}

}  // namespace p11ha::transport
