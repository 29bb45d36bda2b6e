// Where a process with an initialised failing module can be told that the rules changed, and asked for its counts.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "testbed/failing_module/control_dir.h"

namespace p11ha::testbed {

/// A thread of its own that answers one request (a line) a connection. start(), stop() and abandon() from one thread at
/// a time.
class Listener {
 public:
  using Answer = std::function<std::string(std::string_view request)>;

  /// The error says what could not be made. `answer` runs on the listener's thread.
  base::Result<bool, std::string> start(const ControlDir& dir, Answer answer);
  /// Returns when the thread has ended; the socket's name is left to its owner.
  void stop();
  /// In the child of a fork, where the thread does not exist: only lets go of the descriptors.
  void abandon();

  const std::string& name() const { return name_; }

 private:
  void run();
  void serve(int connection);

  std::string name_;
  Answer answer_;
  base::Descriptor socket_;
  base::Descriptor stop_;
  std::thread thread_;
};

}  // namespace p11ha::testbed
