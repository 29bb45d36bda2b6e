// Commands that go on until their user has seen enough.
#pragma once

#include <array>
#include <chrono>
#include <csignal>

namespace p11ha::cli {

/// For as long as it lives ^C ends the command and not the manager: the command sees that it happened(), and comes to
/// an end where it safely can. One within another is the same ^C. One thread.
class Interruptible {
 public:
  enum class Second {
    Waits,  ///< another ^C is as the first
    Ends,   ///< another one ends the manager, for a command that cannot come to its end
  };
  explicit Interruptible(Second second = Second::Waits);
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  /// Waits so long, less where it is interrupted: by ^C, or by Enter where standard input is a terminal. Whether the
  /// command is to go on.
  bool pause(std::chrono::milliseconds time) const;
  /// There was a ^C.
  static bool happened();

 private:
  struct sigaction before_ {};
};

/// For as long as it lives ^C, SIGTERM and SIGHUP wait: what would be half-done is done first. One at a time, on one
/// thread.
class Uninterrupted {
 public:
  /// `flags` 0: calls that block come back with EINTR.
  explicit Uninterrupted(int flags = SA_RESTART);
  ~Uninterrupted();
  Uninterrupted(const Uninterrupted&) = delete;
  Uninterrupted& operator=(const Uninterrupted&) = delete;

  /// What came last; 0: nothing.
  int pending() const;
  /// It is done with.
  void forget();

 private:
  static constexpr std::array kHeld = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kHeld.size()> before_{};
};

/// Waits until there is something to read, or a signal that one of these catches has come, also since before. Whether
/// there is.
bool awaitInput(int descriptor);

}  // namespace p11ha::cli
