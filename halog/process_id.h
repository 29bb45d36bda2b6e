// The process's id without a system call a record.
#pragma once

#include <sys/types.h>

namespace p11ha::halog {

/// getpid(), remembered until the next fork(). Any thread. Cannot fail.
pid_t processId() noexcept;

}  // namespace p11ha::halog
