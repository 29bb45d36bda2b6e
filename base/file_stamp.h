// By what a file that was changed is known.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

namespace p11ha::base {

/// Tells whether a file is still the one that was read.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t seconds = 0;      ///< of the last change of the content
  std::int64_t nanoseconds = 0;  ///< likewise
  // A writer may set the times above back, or write twice within a tick of the clock; not this one's.
  std::int64_t changeSeconds = 0;      ///< of the last change of the file itself
  std::int64_t changeNanoseconds = 0;  ///< likewise

  bool operator==(const FileStamp&) const = default;
};

/// Of what stat() or fstat() has said. Any thread, as what follows.
FileStamp stampFrom(const struct stat& from);

/// Of the file that is there now; nullopt where none can be seen.
std::optional<FileStamp> stampOf(const std::string& path);

}  // namespace p11ha::base
