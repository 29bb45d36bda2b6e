// A p11ha-memberd of a test.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

namespace p11ha::tests {

/// Reads `folder`/memberd.conf, and has its socket `ctl` and its file `log` there. Not started by itself; killed with
/// this object, or with the thread that started it. One thread.
class Daemon {
 public:
  explicit Daemon(std::filesystem::path folder) : folder_(std::move(folder)) {}
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  std::string configuration() const { return (folder_ / "memberd.conf").string(); }
  /// Starts it, and waits until it listens.
  void start();
  /// Has it listen where it did before, when it is started the next time.
  void keepPort() const;
  std::uint16_t port() const { return port_; }
  /// Sends a signal; the status it ended with, or -signal.
  int end(int signal);
  void tell(int signal) const;
  bool runs() const;
  /// -1 where it does not run.
  pid_t pid() const { return pid_; }

  std::string log() const;
  /// p11ha-memberd ctl.
  std::pair<int, std::string> ctl(const std::string& words) const;

 private:
  const std::filesystem::path folder_;
  std::uint16_t port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace p11ha::tests
