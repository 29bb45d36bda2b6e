#include "halog/set_aside.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "halog/log_settings.h"

namespace p11ha::halog {
namespace {

enum class Attempt { Done, Taken, Failed };

// For file systems without RENAME_NOREPLACE: the name is taken by an empty file that only its maker replaces. Unlike
// link and unlink this needs no hard links, and a crash in between leaves an empty file instead of every line twice.
Attempt renameOverPlaceholder(const std::string& from, const std::string& to) {
  const int placeholder = open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (placeholder < 0) return errno == EEXIST ? Attempt::Taken : Attempt::Failed;
  close(placeholder);
  if (::rename(from.c_str(), to.c_str()) == 0) return Attempt::Done;
  unlink(to.c_str());
  return Attempt::Failed;
}

Attempt renameTo(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return Attempt::Done;
  if (errno == EEXIST) return Attempt::Taken;
  if (errno == EINVAL || errno == ENOSYS) return renameOverPlaceholder(from, to);
  return Attempt::Failed;
}

}  // namespace

bool SetAside::rename(const std::string& directory, const std::tm& local) {
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "%04d%02d%02d_%02d%02d%02d", 1900 + local.tm_year, 1 + local.tm_mon,
                local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec);
  // Names that were taken a moment ago still are: beginning anew each time would be quadratic.
  if (stamp_ != text.data()) {
    stamp_ = text.data();
    suffix_ = 0;
  }
  for (;; ++suffix_) {
    std::string to = directory + "/haErrorLog_" + stamp_;
    if (suffix_ > 0) to += "_" + std::to_string(suffix_);
    to += ".txt";
    const Attempt attempt = renameTo(logPath(directory), to);
    if (attempt != Attempt::Taken) return attempt == Attempt::Done;
  }
}

}  // namespace p11ha::halog
