#include "config/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <thread>

#include "config/file.h"

namespace p11ha::config {
namespace {

// To whoever may write the directory, by its owner, its group or as anybody.
void openToWriters(int file, const struct stat& directory) {
  mode_t writers = directory.st_mode & (S_IWGRP | S_IWOTH);
  if (fchown(file, static_cast<uid_t>(-1), directory.st_gid) != 0) writers &= ~static_cast<mode_t>(S_IWGRP);
  fchmod(file, S_IRUSR | S_IWUSR | writers | writers << 1U);
}

base::Descriptor openLock(const std::string& path, const std::string& parent) {
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  // In a directory with the sticky bit others' files may not be opened with O_CREAT.
  for (;;) {
    base::Descriptor file(open(path.c_str(), kFlags));
    if (file || errno != ENOENT) return file;
    file = base::Descriptor(open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0600));
    struct stat directory {};
    if (file && stat(parent.c_str(), &directory) == 0) openToWriters(file.get(), directory);
    if (file || errno != EEXIST) return file;
  }
}

// Whoever has locked it: a manager, which is named in it, or another program, which is not.
std::string holderOf(int file) {
  std::array<char, 24> text{};
  pid_t process = 0;
  if (pread(file, text.data(), text.size(), 0) > 0) std::from_chars(text.data(), text.data() + text.size(), process);
  const bool isThere = process > 0 && (kill(process, 0) == 0 || errno == EPERM);
  return isThere ? "process " + std::to_string(process) : "another process";
}

void nameHolder(int file, const std::string& process) {
  // What fails costs a name in a message.
  if (ftruncate(file, 0) == 0 && pwrite(file, process.data(), process.size(), 0) < 0) return;
}

}  // namespace

base::Result<base::Descriptor, Diagnostic> lock(const std::string& path, std::chrono::milliseconds patience) {
  const auto failed = [&](const std::string& why) {
    return base::Failure{
        Diagnostic{Severity::Error, path, 0, "", "expected a configuration file that can be changed: " + why}};
  };
  const auto followed = followLinks(path);
  if (!followed) return failed(followed.error());
  const std::string parent = followed->has_parent_path() ? followed->parent_path().string() : ".";
  const std::string name = parent + "/." + followed->filename().string() + ".lock";
  base::Descriptor file = openLock(name, parent);
  if (!file) return failed((errno == ENOENT ? parent : name) + ": " + errorText(errno));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return failed(name + ": " + errorText(errno));
    if (std::chrono::steady_clock::now() >= deadline)
      return failed(holderOf(file.get()) + " holds " + name + "; wait until it ends, or end it");
    // flock() waits for ever or not at all.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  nameHolder(file.get(), std::to_string(getpid()) + "\n");
  return file;
}

}  // namespace p11ha::config
