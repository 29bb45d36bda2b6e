// rename(2) that never replaces a file.
#pragma once

#include <string>

namespace p11ha::halog {

enum class Renamed {
  Done,
  Taken,   ///< `to` exists and is as it was
  Failed,  ///< errno says why; nothing is changed
};

/// renameat2(RENAME_NOREPLACE), or the next where the file system does not know it. Any thread and process.
Renamed renameNoReplace(const std::string& from, const std::string& to);

/// For file systems without RENAME_NOREPLACE: the name is taken by an empty file that only its maker replaces. Unlike
/// link and unlink this needs no hard links, and a crash in between leaves an empty file instead of every line twice.
Renamed renameOverPlaceholder(const std::string& from, const std::string& to);

}  // namespace p11ha::halog
