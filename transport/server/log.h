// The appliance's log: one line an event, one write a line.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "base/descriptor.h"
#include "base/result.h"

namespace p11ha::transport {

enum class LogLevel : std::uint8_t { Error, Warning, Info, Debug };
std::string_view nameOf(LogLevel level);
std::optional<LogLevel> findLogLevel(std::string_view name);

/// Writes to a descriptor that it owns, or to standard error. The processes of an appliance share the file. Any thread.
/// What cannot be written, or not whole, is dropped, and nothing of it stays in a file that can be read, too; once
/// writing works again, a line says how many records of this process were. Nobody hands it a PIN, a key, or bytes of a
/// request.
class Log {
 public:
  explicit Log(LogLevel level = LogLevel::Info) : level_(level) {}
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  /// Opens the file, to be used or not; the error names it. Empty: standard error, without an owner.
  static base::Result<base::Descriptor, std::string> openFile(const std::string& path);
  /// Goes on with that file, or with the one before; the error names it.
  std::optional<std::string> open(const std::string& path);
  /// Takes over a descriptor.
  void use(int descriptor);
  /// Takes over what openFile() gave.
  void use(base::Descriptor file) { use(file ? file.release() : kStandardError); }
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
  bool put(LogLevel level, std::string_view text);
  bool takeBack(int file, std::string_view part) const;

  static constexpr int kStandardError = 2;

  std::atomic<LogLevel> level_;
  std::atomic<int> descriptor_{kStandardError};
  std::atomic<bool> torn_{false};          // of the last line, a part was written and could not be taken back
  std::atomic<std::uint64_t> dropped_{0};  // not yet said
};

}  // namespace p11ha::transport
