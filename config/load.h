// Reading the configuration file.
#pragma once

#include <cstddef>
#include <string>

#include "base/file_stamp.h"
#include "base/result.h"
#include "config/diagnostic.h"
#include "config/document.h"

namespace p11ha::config {

/// 100 groups of 32 members make 60 kB.
constexpr std::size_t kLargestFile = std::size_t{4} << 20;

struct Loaded {
  Document document;
  base::FileStamp stamp;  ///< save() always makes a new file
};

/// Reads the whole file, once, from one descriptor. Any thread. Errors, as a Diagnostic without a line: it cannot be
/// opened or read, it is neither a file nor a character device (/dev/null is an empty configuration), or it holds more
/// than `most` bytes. Never waits on a pipe or a terminal.
base::Result<Loaded, Diagnostic> load(const std::string& path, std::size_t most = kLargestFile);

}  // namespace p11ha::config
