// One manager at a time: what is read, changed and written back is not changed by another in between.
#pragma once

#include <chrono>
#include <string>

#include "base/descriptor.h"
#include "base/result.h"
#include "config/diagnostic.h"

namespace p11ha::config {

/// Waits for the lock on the configuration file at `path`, which need not exist; holds it until the descriptor is
/// closed. It is on the file's directory (flock), so that it outlives the file's replacement and leaves nothing behind:
/// managers exclude each other, readers are not hindered. Any thread; never shared with a forked child.
/// Errors, as a Diagnostic without a line: the directory cannot be opened, or another has not given it back within
/// `patience`.
base::Result<base::Descriptor, Diagnostic> lock(const std::string& path, std::chrono::milliseconds patience);

}  // namespace p11ha::config
