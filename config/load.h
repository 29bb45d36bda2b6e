// Reading the configuration file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "config/diagnostic.h"
#include "config/document.h"

namespace p11ha::config {

/// 100 groups of 32 members make 60 kB.
constexpr std::size_t kLargestFile = std::size_t{4} << 20;

/// Tells whether a file is still the one that was read. save() always makes a new one.
struct Stamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t seconds = 0;      ///< of the last change of the content
  std::int64_t nanoseconds = 0;  ///< likewise

  bool operator==(const Stamp&) const = default;
};

struct Loaded {
  Document document;
  Stamp stamp;
};

/// Reads the whole file, once, from one descriptor. Any thread. Errors, as a Diagnostic without a line: it cannot be
/// opened or read, it is neither a file nor a character device (/dev/null is an empty configuration), or it holds more
/// than `most` bytes. Never waits on a pipe or a terminal.
base::Result<Loaded, Diagnostic> load(const std::string& path, std::size_t most = kLargestFile);

/// The stamp of the file that is there now; nullopt where none can be seen. Any thread.
std::optional<Stamp> stampOf(const std::string& path);

}  // namespace p11ha::config
