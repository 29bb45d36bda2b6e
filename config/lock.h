// One manager at a time: what is read, changed and written back is not changed by another in between.
#pragma once

#include <chrono>
#include <string>

#include "base/descriptor.h"
#include "base/result.h"
#include "config/diagnostic.h"

namespace p11ha::config {

/// Waits for the lock on the configuration file at `path`, which need not exist; holds it until the descriptor is
/// closed. It is on `.NAME.lock` beside it (flock), which outlives the file's replacement and stays, with the number of
/// the process that has had it last: only who may write the directory, and so replace the file, may open it. Managers
/// exclude each other; readers neither hinder nor are hindered. Any thread; never shared with a forked child.
/// Errors, as a Diagnostic without a line: it cannot be opened, or another has not given it back within `patience`,
/// with what to do.
base::Result<base::Descriptor, Diagnostic> lock(const std::string& path, std::chrono::milliseconds patience);

}  // namespace p11ha::config
