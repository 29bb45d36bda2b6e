// What the program and its workers say to each other: JSON, a line each.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "bench/measure.h"

namespace p11ha::bench {

std::string encode(const Task& task);
std::string encode(const base::Result<Sample, std::string>& answer);

/// Nothing if it is no Task.
std::optional<Task> decodeTask(const std::string& line);
/// The worker's own error, or that the line is no answer.
base::Result<Sample, std::string> decodeAnswer(const std::string& line);

/// Sends a line and its end; false if the other side is gone.
bool sendLine(int socket, std::string line);

/// Lines as they arrive. Owned by its user; one thread.
class LineReader {
 public:
  explicit LineReader(int socket) : socket_(socket) {}
  /// The next, without its end; nothing once the other side is gone.
  std::optional<std::string> next();

 private:
  const int socket_;
  std::string pending_;
};

}  // namespace p11ha::bench
