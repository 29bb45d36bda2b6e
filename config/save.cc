#include "config/save.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <utility>

#include "base/descriptor.h"
#include "config/file.h"

namespace p11ha::config {

namespace {

using Problem = std::string;

constexpr int kMostNames = 100;

/// A new file in a directory; removed at the end unless it was renamed.
class Temporary {
 public:
  Temporary(int directory, const std::string& name, mode_t mode) : directory_(directory) {
    std::random_device random;
    for (int i = 0; i < kMostNames && fd_ < 0; ++i) {
      name_ = "." + name + "." + std::to_string(random()) + ".tmp";
      fd_ = openat(directory_, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
      if (fd_ < 0 && errno != EEXIST) return;
    }
  }
  ~Temporary() {
    if (fd_ < 0) return;
    close(fd_);
    if (!renamed_) unlinkat(directory_, name_.c_str(), 0);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  bool isOpen() const { return fd_ >= 0; }
  int get() const { return fd_; }

  bool write(std::string_view text) const { return base::writeAll(fd_, text); }

  bool renameTo(const std::string& name) {
    renamed_ = renameat(directory_, name_.c_str(), directory_, name.c_str()) == 0;
    return renamed_;
  }

 private:
  int directory_;
  int fd_ = -1;
  std::string name_;
  bool renamed_ = false;
};

base::Result<Saved, Problem> replace(const std::string& path, std::string_view text,
                                     const std::optional<base::FileStamp>& expected,
                                     const std::function<bool()>& last) {
  const auto followed = followLinks(path);
  if (!followed) return base::Failure{followed.error()};
  const std::string name = followed->filename().string();
  const std::string parent = followed->has_parent_path() ? followed->parent_path().string() : ".";

  const base::Descriptor directory(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return base::Failure{parent + ": " + errorText(errno)};
  struct stat old {};
  const bool exists = fstatat(directory.get(), name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (!exists && errno != ENOENT) return base::Failure{errorText(errno)};
  if (exists && !S_ISREG(old.st_mode)) return base::Failure{Problem("it is not a regular file")};

  // What takes the mode of the old file is nobody else's before; a new file's mode is the umask's to narrow.
  Temporary temporary(directory.get(), name, exists ? 0600 : 0644);
  if (!temporary.isOpen()) return base::Failure{parent + ": " + errorText(errno)};
  if (!temporary.write(text)) return base::Failure{errorText(errno)};
  struct stat made {};
  if (fstat(temporary.get(), &made) != 0) return base::Failure{errorText(errno)};
  const bool sameOwner = !exists || (old.st_uid == made.st_uid && old.st_gid == made.st_gid);
  if (!sameOwner && fchown(temporary.get(), old.st_uid, old.st_gid) != 0) {
    return base::Failure{"its owner cannot be kept: " + errorText(errno)};
  }
  if (exists && fchmod(temporary.get(), old.st_mode & 07777U) != 0)
    return base::Failure{"its mode cannot be kept: " + errorText(errno)};
  if (fsync(temporary.get()) != 0) return base::Failure{errorText(errno)};
  if (fstat(temporary.get(), &made) != 0) return base::Failure{errorText(errno)};

  if (expected) {
    const auto now = base::stampOf(*followed);
    if (!now || *now != *expected) return base::Failure{Problem("it was changed by another since it was read")};
  }
  if (last && !last()) return base::Failure{Problem("it was called off")};
  if (!temporary.renameTo(name)) return base::Failure{errorText(errno)};
  // To be renamed changes a file's change time. All else stays what was written, so that another's change shows.
  struct stat renamed {};
  if (fstat(temporary.get(), &renamed) == 0) made.st_ctim = renamed.st_ctim;
  // Some file systems cannot sync a directory, and say so with EINVAL: there is nothing more to do for durability.
  const bool durable = fsync(directory.get()) == 0 || errno == EINVAL;
  return Saved{base::stampFrom(made), durable};
}

}  // namespace

base::Result<Saved, Diagnostic> save(const std::string& path, std::string_view text,
                                     const std::optional<base::FileStamp>& expected,
                                     const std::function<bool()>& last) {
  auto saved = replace(path, text, expected, last);
  if (saved) return *saved;
  return base::Failure{
      Diagnostic{Severity::Error, path, 0, "", "expected a configuration file that can be written: " + saved.error()}};
}

void removeLeftovers(const std::string& path) {
  const auto followed = followLinks(path);
  if (!followed) return;
  const std::string prefix = "." + followed->filename().string() + ".";
  constexpr std::string_view kSuffix = ".tmp";
  const auto parent = followed->has_parent_path() ? followed->parent_path() : std::filesystem::path(".");
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(kSuffix) || name.size() <= prefix.size() + kSuffix.size())
      continue;
    const std::string number = name.substr(prefix.size(), name.size() - prefix.size() - kSuffix.size());
    if (number.find_first_not_of("0123456789") == std::string::npos) std::filesystem::remove(entry.path(), ignored);
  }
}

}  // namespace p11ha::config
