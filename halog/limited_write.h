// write(2) for a library: it must not bring a signal upon the application.
#pragma once

#include <sys/types.h>

#include <string_view>

namespace p11ha::halog {

/// True if this process has a file size limit (RLIMIT_FSIZE).
bool fileSizeLimited() noexcept;

/// write(2), resumed after EINTR before the first byte. With `limited`, a write beyond the file size limit fails with
/// EFBIG and no SIGXFSZ reaches the application; without it, two system calls are saved. Any thread. Errors as
/// write(2): -1 and errno, or fewer bytes than asked for.
ssize_t writeQuietly(int fd, std::string_view bytes, bool limited) noexcept;

}  // namespace p11ha::halog
