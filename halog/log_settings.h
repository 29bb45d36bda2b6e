// "Configuring HA Logging" of the reference, as values.
#pragma once

#include <cstdint>
#include <string>

namespace p11ha::halog {

inline constexpr std::uint64_t kDefaultMaxLength = 262144;

/// Plain values of HAConfiguration. Nothing is written while `directory` is empty or `enabled` is false.
struct LogSettings {
  std::string directory;                        ///< haLogPath: an existing directory; it is never created
  bool enabled = true;                          ///< haLogStatus
  std::uint64_t maxLength = kDefaultMaxLength;  ///< logLen, in bytes; the record that reaches it is finished first
  friend bool operator==(const LogSettings&, const LogSettings&) = default;
};

/// `directory`/haErrorLog.txt.
inline std::string logPath(const std::string& directory) { return directory + "/haErrorLog.txt"; }

}  // namespace p11ha::halog
