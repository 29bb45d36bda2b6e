#include "config/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <thread>

#include "config/file.h"

namespace p11ha::config {

base::Result<base::Descriptor, Diagnostic> lock(const std::string& path, std::chrono::milliseconds patience) {
  const auto failed = [&](const std::string& why) {
    return base::Failure{
        Diagnostic{Severity::Error, path, 0, "", "expected a configuration file that can be changed: " + why}};
  };
  const auto followed = followLinks(path);
  if (!followed) return failed(followed.error());
  const std::string parent = followed->has_parent_path() ? followed->parent_path().string() : ".";
  base::Descriptor directory(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return failed(parent + ": " + errorText(errno));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (flock(directory.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return failed(parent + ": " + errorText(errno));
    if (std::chrono::steady_clock::now() >= deadline) return failed("another manager is changing it");
    // flock() waits for ever or not at all.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return directory;
}

}  // namespace p11ha::config
