#include "cli/console.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "base/descriptor.h"

namespace p11ha::cli {

using base::Failure;
using base::SecureBytes;

namespace {

constexpr std::size_t kLongestLine = 255;
constexpr char kInterrupt = 3;  // ^C, as it comes from a terminal that makes no signals of it

// Reads without echo, and puts the terminal back whatever happens.
class Quiet {
 public:
  explicit Quiet(int terminal) : terminal_(terminal) {
    changed_ = tcgetattr(terminal_, &before_) == 0;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
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

base::Result<SecureBytes, std::string> readLine(int terminal) {
  SecureBytes line;
  line.reserve(kLongestLine + 1);
  for (std::uint8_t byte = 0;;) {
    const ssize_t got = read(terminal, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || byte == kInterrupt) return Failure{std::string("the terminal ended the question")};
    if (byte == '\n' || byte == '\r') return line;
    if (line.size() == kLongestLine) return Failure{std::string("an answer has at most 255 bytes")};
    line.push_back(byte);
  }
}

base::Descriptor openTerminal() { return base::Descriptor(open("/dev/tty", O_RDWR | O_CLOEXEC)); }

const std::string kNone = "there is no terminal to ask on";

}  // namespace

void StandardConsole::out(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void StandardConsole::note(std::string_view text) {
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

base::Result<std::string, std::string> StandardConsole::ask(const std::string& question) {
  const base::Descriptor terminal = openTerminal();
  if (!terminal || !base::writeAll(terminal.get(), question)) return Failure{kNone};
  const auto line = readLine(terminal.get());
  if (!line) return Failure{line.error()};
  return std::string(line->begin(), line->end());
}

base::Result<SecureBytes, std::string> StandardConsole::askSecret(const std::string& question) {
  const base::Descriptor terminal = openTerminal();
  if (!terminal) return Failure{kNone};
  const Quiet quiet(terminal.get());
  if (!quiet.works() || !base::writeAll(terminal.get(), question)) return Failure{kNone};
  auto line = readLine(terminal.get());
  base::writeAll(terminal.get(), line ? "********\n" : "\n");
  return line;
}

bool StandardConsole::isTerminal() const { return isatty(STDOUT_FILENO) != 0; }

bool StandardConsole::showsProgress() const { return isatty(STDERR_FILENO) != 0; }

}  // namespace p11ha::cli
