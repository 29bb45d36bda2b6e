#include "cli/console.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/descriptor.h"
#include "cli/pause.h"

namespace p11ha::cli {

using base::Failure;
using base::SecureBytes;

namespace {

constexpr std::size_t kLongestLine = 255;

// Reads without echo, and puts the terminal back whatever happens: signals that end a process wait for that.
class Quiet {
 public:
  explicit Quiet(int terminal) : terminal_(terminal) {
    changed_ = tcgetattr(terminal_, &before_) == 0;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_cc[VSUSP] = quiet.c_cc[VQUIT] = _POSIX_VDISABLE;
    if (changed_) changed_ = tcsetattr(terminal_, TCSAFLUSH, &quiet) == 0;
  }
  ~Quiet() {
    if (changed_) tcsetattr(terminal_, TCSAFLUSH, &before_);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

  bool works() const { return changed_; }

 private:
  const int terminal_;
  termios before_{};
  bool changed_ = false;
};

base::Result<SecureBytes, NoAnswer> readLine(int terminal) {
  SecureBytes line;
  line.reserve(kLongestLine + 1);
  for (std::uint8_t byte = 0;;) {
    const ssize_t got = awaitInput(terminal) ? read(terminal, &byte, 1) : 0;
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Failure{NoAnswer{"the terminal ended the question"}};
    if (byte == '\n' || byte == '\r') return line;
    if (line.size() == kLongestLine) return Failure{NoAnswer{"an answer has at most 255 bytes"}};
    line.push_back(byte);
  }
}

const NoAnswer kNone{"there is no terminal to ask on"};

// ^C ends the question, not the manager. `shown`: what stands behind it then, for an answer that nobody saw.
base::Result<SecureBytes, NoAnswer> answerTo(int terminal, const std::string& question, const Uninterrupted& signals,
                                             const char* shown) {
  if (!base::writeAll(terminal, question)) return Failure{kNone};
  auto line = readLine(terminal);
  const bool isInterrupted = signals.pending() == SIGINT || Interruptible::happened();
  if (!line && isInterrupted) line = Failure{NoAnswer{"it was interrupted", true}};
  base::writeAll(terminal, line ? shown : "\n");
  return line;
}

base::Descriptor openTerminal() { return base::Descriptor(open("/dev/tty", O_RDWR | O_CLOEXEC)); }

}  // namespace

void StandardConsole::out(std::string_view text) {
  if (lostOutput_) return;
  lostOutput_ = std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0;
  if (lostOutput_) note("standard output: " + std::string(std::strerror(errno)) + "\n");
}

void StandardConsole::note(std::string_view text) {
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

base::Result<std::string, NoAnswer> StandardConsole::ask(const std::string& question) {
  const base::Descriptor terminal = openTerminal();
  if (!terminal) return Failure{kNone};
  Uninterrupted signals(0);
  const auto line = answerTo(terminal.get(), question, signals, "");
  if (signals.pending() == SIGINT) signals.forget();
  if (!line) return Failure{line.error()};
  return std::string(line->begin(), line->end());
}

base::Result<SecureBytes, NoAnswer> StandardConsole::askSecret(const std::string& question) {
  const base::Descriptor terminal = openTerminal();
  if (!terminal) return Failure{kNone};
  Uninterrupted signals(0);
  const Quiet quiet(terminal.get());
  if (!quiet.works()) return Failure{kNone};
  auto line = answerTo(terminal.get(), question, signals, "********\n");
  if (signals.pending() == SIGINT) signals.forget();
  return line;
}

bool StandardConsole::isTerminal() const { return isatty(STDOUT_FILENO) != 0; }

bool StandardConsole::showsProgress() const { return isatty(STDERR_FILENO) != 0; }

}  // namespace p11ha::cli
