// What other processes on this machine cost.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <span>

namespace p11ha::bench {

/// CPU time so far of these processes and of all that descend from them and are still there; 0 for one that is gone.
/// Any thread.
std::chrono::nanoseconds cpuTimeOf(std::span<const pid_t> processes);

}  // namespace p11ha::bench
