// Looking at what other processes say of their groups.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "compose/status_report.h"

namespace p11ha::compose {

/// The directory of the status files where the configuration names no other (StatusPath).
inline constexpr const char* kStatusDirectory = "/run/p11ha";

/// The name in that directory of a process's status file.
std::string statusFileName(std::int64_t pid);
/// Of the same for Prometheus (compose/status_metrics.h).
std::string metricsFileName(std::int64_t pid);
/// And of what it writes before it takes the place of one of these.
std::string unfinishedFileName(std::int64_t pid);

/// Reads a directory of status files. Owned by whoever looks. One thread. Blocks as the file system does.
class StatusReader {
 public:
  explicit StatusReader(std::string directory) : directory_(std::move(directory)) {}

  /// What the processes that live say, by their numbers. What cannot be read, or is no status file, is passed over; a
  /// directory that is not there is an empty one.
  std::vector<ProcessReport> read() const;

  /// Paths of what processes left there that are no more.
  std::vector<std::string> leftovers() const;

 private:
  const std::string directory_;
};

}  // namespace p11ha::compose
