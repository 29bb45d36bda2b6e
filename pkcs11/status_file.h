// The file in which this process says how its groups are.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/scheduler.h"
#include "compose/status_report.h"

namespace p11ha::pkcs11 {

/// Keeps `<directory>/<pid>.status` (compose/status_report.h), and the same for Prometheus beside it: written when the
/// state of a group changes, at most once a second, and every five seconds while its counts move. A file is there whole
/// or not at all (a rename). What cannot be written is tried again; nothing else depends on it. Owned by the Runtime,
/// which gives it a scheduler and workers of its own, so that a file system that hangs holds up nobody else.
class StatusFile {
 public:
  using Collect = std::function<std::vector<ha::GroupStatus>()>;

  /// `collect` is called on the scheduler's thread.
  StatusFile(std::string directory, const base::Clock& clock, base::Scheduler& scheduler, base::Workers& workers,
             Collect collect);

  /// From now on the file is written; what dead processes left in the directory is removed. Once.
  void start();
  /// The state of a group may have changed. Any thread; costs little.
  void changed();
  /// Removes the files. With the scheduler stopped; once, at the end.
  void remove();

  /// Where the file goes: the configured directory, else /run/p11ha if this process may write there. Empty: nowhere.
  static std::string directoryFor(const std::string& configured);

 private:
  void proceed();
  void tick();
  void look();
  void begin(const std::vector<ha::GroupStatus>& groups);
  bool write(const compose::ProcessReport& report);
  bool put(const std::string& name, std::string_view text) const;

  const std::string directory_;
  const base::Clock& clock_;
  base::Scheduler& scheduler_;
  base::Workers& workers_;
  const Collect collect_;
  compose::ProcessReport process_;  // without its groups: constant

  std::atomic<bool> told_{false};     // changed() has been posted
  std::atomic<bool> removed_{false};  // for a worker that comes late
  std::atomic<bool> swept_{false};    // written by the one worker that runs

  // The scheduler's thread.
  bool started_ = false;
  bool wanted_ = false;   // somebody believes that it is to be written
  bool writing_ = false;  // a worker is at it
  bool waiting_ = false;  // for `earliest_`
  base::Monotonic earliest_ = base::Monotonic::min();
  std::optional<std::vector<compose::GroupReport>> last_;  // what the file says; nothing: that is not certain
};

}  // namespace p11ha::pkcs11
