// Asks each module, in a process of its own, which tokens it shows: a module that hangs or crashes does so there.
#pragma once

#include "base/clock.h"
#include "transport/server/log.h"
#include "transport/server/worker_process.h"

namespace p11ha::transport {

/// Of the supervisor's one thread, which goes on with its other work meanwhile. All modules are asked at once.
class Survey {
 public:
  explicit Survey(std::vector<ServedModule> modules);
  Survey(const Survey&) = delete;
  Survey& operator=(const Survey&) = delete;

  /// Where answers come, of those who have not answered yet: what to wait at.
  std::vector<int> sockets() const;
  /// By then every module has answered, or counts as one that does not.
  base::Monotonic until() const { return until_; }
  /// Takes what has come. True: nothing is awaited any more. Must be called before anybody waits for any child.
  bool look();
  /// look() until nothing is awaited.
  void wait();

  /// The partitions that are wanted, as they were found. What is missing or stands in the way of another, the log says;
  /// false: something is missing.
  bool find(const std::vector<ServedPartition>& wanted, std::vector<Partition>& found, Log& log) const;

 private:
  struct Asked {
    WorkerProcess process;  // no socket: it has answered
    SurveyResult result;
  };

  void hear(Asked& asked) const;

  const std::vector<ServedModule> modules_;
  const base::Monotonic until_;
  std::vector<Asked> asked_;  // one for each module
};

}  // namespace p11ha::transport
