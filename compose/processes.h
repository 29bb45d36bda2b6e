// Which process is which: numbers are used again.
#pragma once

#include <cstdint>
#include <optional>

namespace p11ha::compose {

/// When that process began, in ticks since the machine did (field 22 of /proc/PID/stat, proc(5)); nothing where it is
/// not there, or not to be seen. Any thread.
std::optional<std::uint64_t> startOf(std::int64_t pid);

/// May the process that began then, or whenever, still be there? True also where that cannot be told. Any thread.
bool mayBeAlive(std::int64_t pid, std::optional<std::uint64_t> started);

}  // namespace p11ha::compose
