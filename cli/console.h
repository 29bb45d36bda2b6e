// Where the manager's user is: what is said to them, and asked.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secure_bytes.h"

namespace p11ha::cli {

/// Why a question has no answer. A plain value.
struct NoAnswer {
  std::string why{};           ///< to be shown
  bool isInterrupted = false;  ///< by ^C: whoever asked ends
};

/// Owned by whoever runs the manager. One thread.
class Console {
 public:
  virtual ~Console() = default;

  /// Answers: standard output.
  virtual void out(std::string_view text) = 0;
  /// What is said beside them: findings, progress. Standard error.
  virtual void note(std::string_view text) = 0;

  /// Asks on the terminal, wherever standard input and output lead.
  virtual base::Result<std::string, NoAnswer> ask(const std::string& question) = 0;
  /// The same without showing what is typed, nor how long it is.
  virtual base::Result<base::SecureBytes, NoAnswer> askSecret(const std::string& question) = 0;

  /// Answers go to a terminal.
  virtual bool isTerminal() const = 0;
  /// So do notes: a line of them may be written over.
  virtual bool showsProgress() const = 0;
};

/// That of the process.
class StandardConsole final : public Console {
 public:
  void out(std::string_view text) override;
  void note(std::string_view text) override;
  base::Result<std::string, NoAnswer> ask(const std::string& question) override;
  base::Result<base::SecureBytes, NoAnswer> askSecret(const std::string& question) override;
  bool isTerminal() const override;
  bool showsProgress() const override;

  /// Some answer could not be written.
  bool lostOutput() const { return lostOutput_; }

 private:
  bool lostOutput_ = false;
};

}  // namespace p11ha::cli
