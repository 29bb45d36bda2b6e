// What is wrong with a configuration, said so that its owner can mend it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace p11ha::config {

enum class Severity {
  Error,    ///< something that was asked for is not done: a group left out, a default used instead of the value
  Warning,  ///< everything is done, but probably not as meant
};

/// One finding. A plain value; cannot fail.
struct Diagnostic {
  Severity severity = Severity::Error;
  std::string file;
  std::size_t line = 0;   ///< from 1; 0 where the finding is about the whole file
  std::string key;        ///< as the file spells it; empty where no key is concerned
  std::string text;       ///< what was expected and, of an error, what was found
  std::string instead{};  ///< what whoever goes on in spite of it does; empty: nothing is to be said

  /// `file:line: key: text; instead`, always one line of printable ASCII: other bytes appear as \xNN, a long key is
  /// cut.
  std::string format() const;

  bool operator==(const Diagnostic&) const = default;
};

/// A value for use inside Diagnostic::text: in double quotes, unprintable bytes as \xNN, cut after 64 bytes.
std::string inQuotes(std::string_view value);

/// Collects findings, at most kMost of each severity: a file of garbage must not become a log of garbage.
/// Owned by one caller on one thread.
class Diagnostics {
 public:
  static constexpr std::size_t kMost = 100;

  explicit Diagnostics(std::string file) : file_(std::move(file)) {}

  void error(std::size_t line, std::string_view key, std::string text, std::string instead = {});
  void warning(std::size_t line, std::string_view key, std::string text);

  const std::string& file() const { return file_; }

  /// All findings by line, then one that counts what was dropped, if anything was. Leaves the collection empty.
  std::vector<Diagnostic> take();

 private:
  void add(Severity severity, std::size_t& count, std::size_t line, std::string_view key, std::string text,
           std::string instead);

  std::string file_;
  std::vector<Diagnostic> found_;
  std::size_t errors_ = 0;
  std::size_t warnings_ = 0;
  std::size_t dropped_ = 0;
};

}  // namespace p11ha::config
