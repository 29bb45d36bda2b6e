// What an application was about to do and what it was answered, in a file that outlives it.
#pragma once

#include <string>
#include <vector>

#include "testbed/history/line.h"

namespace p11ha::history {

/// Appends. What was written is there even if the process is killed in the next moment: each write is one write(2).
/// One thread; throws std::runtime_error.
class Journal {
 public:
  explicit Journal(const std::string& path);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  void write(const std::vector<Line>& lines);

 private:
  int file_;
};

/// Reads one that may still be written. One thread; a file that is not there yet is empty.
class JournalReader {
 public:
  explicit JournalReader(std::string path) : path_(std::move(path)) {}

  /// The whole lines since the last time.
  std::vector<Line> more();

 private:
  const std::string path_;
  std::size_t read_ = 0;
};

}  // namespace p11ha::history
