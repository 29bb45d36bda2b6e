// The folder through which failing modules are controlled. In it:
//   rules         what is in force, replaced as a whole; read by each process when it starts and when it is told
//   PID-COPY.sock where a process that has a failing module initialised listens
//   tally         the calls that processes counted before they finalized
//   lock          held (flock) by whoever changes or adds up any of these
#pragma once

#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"
#include "testbed/failing_module/rule.h"

namespace p11ha::testbed {

struct RuleFile {
  std::uint64_t nextId = 1;
  std::vector<Rule> rules;
};

/// Each call opens what it needs: one object may be used by many threads, and by the child of a fork.
class ControlDir {
 public:
  /// The error names the folder and why it cannot be used.
  static base::Result<ControlDir, std::string> open(const std::string& path);

  /// Waits for the lock; it is let go when the descriptor closes.
  base::Result<base::Descriptor, std::string> lock() const;

  /// No file: no rules.
  base::Result<RuleFile, std::string> readRules() const;
  /// Under the lock. All or nothing.
  base::Result<bool, std::string> writeRules(const RuleFile& file) const;

  /// The address of a socket in this folder, however long the folder's own path is.
  sockaddr_un address(std::string_view name) const;
  std::vector<std::string> sockets() const;
  void remove(std::string_view name) const;
  bool rename(std::string_view from, std::string_view to) const;

  /// Empty where there is none. Under the lock.
  std::string readTally() const;
  bool appendTally(std::string_view lines) const;

 private:
  ControlDir(std::string path, base::Descriptor dir) : path_(std::move(path)), dir_(std::move(dir)) {}
  std::string errorText(std::string_view name) const;

  std::string path_;
  base::Descriptor dir_;
};

}  // namespace p11ha::testbed
