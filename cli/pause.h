// Commands that go on until their user has seen enough.
#pragma once

#include <chrono>
#include <csignal>

namespace p11ha::cli {

/// For as long as it lives ^C ends the command and not the manager. One at a time, on one thread.
class Interruptible {
 public:
  Interruptible();
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  /// Waits so long, less where it is interrupted: by ^C, or by Enter where standard input is a terminal. Whether the
  /// command is to go on.
  bool pause(std::chrono::milliseconds time) const;

 private:
  struct sigaction before_ {};
};

}  // namespace p11ha::cli
