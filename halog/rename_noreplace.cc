#include "halog/rename_noreplace.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace p11ha::halog {

Renamed renameNoReplace(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return Renamed::Done;
  if (errno == EEXIST) return Renamed::Taken;
  if (errno == EINVAL || errno == ENOSYS) return renameOverPlaceholder(from, to);
  return Renamed::Failed;
}

Renamed renameOverPlaceholder(const std::string& from, const std::string& to) {
  const int placeholder = open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (placeholder < 0) return errno == EEXIST ? Renamed::Taken : Renamed::Failed;
  close(placeholder);
  if (std::rename(from.c_str(), to.c_str()) == 0) return Renamed::Done;
  const int error = errno;
  unlink(to.c_str());
  errno = error;
  return Renamed::Failed;
}

}  // namespace p11ha::halog
