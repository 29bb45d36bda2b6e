// A process of its own for what ends a process.
#pragma once

#include <chrono>
#include <functional>
#include <ostream>
#include <string>

namespace p11ha::tests {

struct Ended {
  bool hung = false;   // was killed when its time was over
  int status = 0;      // as of waitpid()
  std::string errors;  // its standard error
};
std::ostream& operator<<(std::ostream& out, const Ended& ended);

/// Runs the body in a child process and waits for its end, or kills it and its children after `deadline`. A body that
/// returns ends its process with _exit(): 0 unless an expectation has failed. To be called while this process has one
/// thread.
Ended runInChild(const std::function<void()>& body, std::chrono::seconds deadline = std::chrono::seconds(120));

/// As EXPECT_EQ would do it: the process ended by itself, with status 0.
void expectEndsWell(const std::function<void()>& body);

/// For the body: forks, and expects the child's body to end well while this process goes on with `meanwhile`.
void expectForkEndsWell(
    const std::function<void()>& body, const std::function<void()>& meanwhile = [] {});

/// Waits until that thread of this process (gettid()) sleeps.
void awaitAsleep(int thread);
std::size_t threads();
std::size_t openFiles();

}  // namespace p11ha::tests
