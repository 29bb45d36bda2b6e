#include "halog/limited_write.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace p11ha::halog {
namespace {

ssize_t writeOnce(int fd, std::string_view bytes) noexcept {
  ssize_t n = 0;
  do {
    n = ::write(fd, bytes.data(), bytes.size());
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

bool fileSizeLimited() noexcept {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

ssize_t writeQuietly(int fd, std::string_view bytes, bool limited) noexcept {
  if (!limited) return writeOnce(fd, bytes);
  sigset_t fileSize;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&fileSize);
  sigaddset(&fileSize, SIGXFSZ);
  sigpending(&pending);
  // One that was pending already is the application's own and stays so.
  const bool applications = sigismember(&pending, SIGXFSZ) == 1;
  pthread_sigmask(SIG_BLOCK, &fileSize, &before);
  const ssize_t n = writeOnce(fd, bytes);
  const int error = errno;
  if (n < 0 && error == EFBIG && !applications) {
    const timespec now{};
    while (sigtimedwait(&fileSize, nullptr, &now) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return n;
}

}  // namespace p11ha::halog
