// The appliance's log: one line an event, one write a line.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace p11ha::transport {

enum class LogLevel : std::uint8_t { Error, Warning, Info, Debug };
std::string_view nameOf(LogLevel level);
std::optional<LogLevel> findLogLevel(std::string_view name);

/// Writes to a descriptor that it owns, or to standard error. The processes of an appliance share the file. Any thread.
/// A failed write is let pass. Nobody hands it a PIN, a key, or bytes of a request.
class Log {
 public:
  explicit Log(LogLevel level = LogLevel::Info) : level_(level) {}
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  /// Opens the file, or goes on with the one before; the error names it. Empty: standard error.
  std::optional<std::string> open(const std::string& path);
  /// Takes over a descriptor.
  void use(int descriptor);
  int descriptor() const { return descriptor_.load(std::memory_order_acquire); }
  void setLevel(LogLevel level) { level_.store(level, std::memory_order_relaxed); }
  LogLevel level() const { return level_.load(std::memory_order_relaxed); }

  bool shows(LogLevel level) const { return level <= level_.load(std::memory_order_relaxed); }
  /// What a peer said in `text` cannot make a second line of it: control characters become '?'.
  void write(LogLevel level, std::string_view text);
  void error(std::string_view text) { write(LogLevel::Error, text); }
  void warning(std::string_view text) { write(LogLevel::Warning, text); }
  void info(std::string_view text) { write(LogLevel::Info, text); }
  void debug(std::string_view text) { write(LogLevel::Debug, text); }

 private:
  std::atomic<LogLevel> level_;
  std::atomic<int> descriptor_{2};
};

}  // namespace p11ha::transport
