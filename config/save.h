// Rewriting the configuration file so that every reader sees the old one or the new one, whole.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/diagnostic.h"
#include "config/load.h"

namespace p11ha::config {

struct Saved {
  base::FileStamp stamp;  ///< of the file that is there now
  bool durable = false;   ///< false: the directory could not be synced, so that a power cut may bring back the old file
};

/// Writes `text` to a temporary file beside `path`, syncs it, gives it mode and owner of the old file (0644 less the
/// umask where there is none), and renames it over that. A symbolic link stays and its target is replaced; another hard
/// link keeps the old text. Extended attributes are not carried over.
///
/// With `expected`, refuses where the file is no longer the one that was read, so that of two managers at work none
/// undoes the other. One thread per path: processes that save at the same moment both succeed, and the last one wins.
/// `last` is called when all but the renaming is done, which hardly fails: what cannot be undone and goes with the
/// change belongs there. Where it returns false, nothing is saved. Errors, as a Diagnostic without a line; then the old
/// file is untouched and no temporary file is left.
base::Result<Saved, Diagnostic> save(const std::string& path, std::string_view text,
                                     const std::optional<base::FileStamp>& expected = std::nullopt,
                                     const std::function<bool()>& last = {});

/// Removes the temporary files that managers left behind which were killed while they saved. Only under the lock
/// (config/lock.h): nobody else is to save. One that cannot be removed stays.
void removeLeftovers(const std::string& path);

}  // namespace p11ha::config
