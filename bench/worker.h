// A subject's own process: its environment and its module are nobody else's.
#pragma once

#include <sys/types.h>

#include <memory>

#include "bench/subject.h"
#include "bench/wire.h"

namespace p11ha::bench {

/// This program, started again with these words and the subject's environment; its PIN is in P11HA_PIN. `before` is
/// what runs the program, if anything. `kept` stays open for it under the same number, or is -1. -1: it could not be
/// started.
pid_t startAgain(const Subject& subject, const std::vector<std::string>& before, const std::vector<std::string>& words,
                 int kept);
/// Its exit status; -1 if it was killed.
int waitFor(pid_t process);

/// A process that measures when told. Ends with its owner, who is one thread.
class Worker {
 public:
  /// Returns when its module is loaded and logged in. The error is ready to be shown.
  static base::Result<std::unique_ptr<Worker>, std::string> start(const Subject& subject);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Waits for what the worker says.
  base::Result<Sample, std::string> measure(const Task& task);

 private:
  Worker(std::string name, pid_t process, int socket)
      : name_(std::move(name)), process_(process), socket_(socket), answers_(socket) {}

  base::Result<Sample, std::string> answer();

  const std::string name_;
  const pid_t process_;
  const int socket_;
  LineReader answers_;
};

/// The other side: says that it is ready (an empty Sample) or what is wrong, and measures until the socket is closed.
/// The exit status of the process.
int serve(const Token::Spec& spec, int socket);

}  // namespace p11ha::bench
