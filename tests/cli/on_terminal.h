// hacm, or another program, as somebody at a terminal has it.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace p11ha::tests {

/// A program on a terminal of its own. One thread.
class OnTerminal {
 public:
  explicit OnTerminal(const std::vector<std::string>& words) {
    child_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (child_ != 0) return;
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    setenv("TERM", "xterm", 1);
    execv(argv[0], argv.data());
    _exit(127);
  }
  ~OnTerminal() {
    if (!ended_) ::kill(child_, SIGKILL);
    end();
    close(terminal_);
  }

  /// Waits until `text` has been printed after what was waited for before; all that was up to then.
  std::string until(const std::string& text) {
    std::string seen;
    while (unread_.find(text) == std::string::npos && readMore()) {
    }
    const std::size_t at = unread_.find(text);
    EXPECT_NE(at, std::string::npos) << "\"" << text << "\" does not come: " << unread_;
    seen = unread_.substr(0, at == std::string::npos ? at : at + text.size());
    unread_.erase(0, seen.size());
    return seen;
  }
  void type(const std::string& keys) { EXPECT_EQ(write(terminal_, keys.data(), keys.size()), ssize_t(keys.size())); }
  void kill(int signal) const { ::kill(child_, signal); }
  bool echoes() const {
    termios state{};
    return tcgetattr(terminal_, &state) == 0 && (state.c_lflag & ECHO) != 0;
  }
  /// Waits for its end; one that does not come is brought about, and -1. So has one that a signal ended.
  int end() {
    if (ended_) return status_;
    while (readMore()) {
    }
    ::kill(child_, SIGKILL);  // nothing to one that has ended
    int status = 0;
    waitpid(child_, &status, 0);
    ended_ = true;
    return status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  static constexpr int kPatience = 60'000;

  bool readMore() {
    char piece[4096];
    pollfd ready{terminal_, POLLIN, 0};
    if (poll(&ready, 1, kPatience) != 1) return false;
    const ssize_t got = read(terminal_, piece, sizeof piece);
    if (got > 0) unread_.append(piece, static_cast<std::size_t>(got));
    return got > 0;
  }

  pid_t child_ = -1;
  int terminal_ = -1;
  int status_ = -1;
  bool ended_ = false;
  std::string unread_;
};

}  // namespace p11ha::tests
