// The configuration file while the application runs: read again when it changes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/file_watch.h"
#include "base/scheduler.h"
#include "compose/compose.h"
#include "config/load.h"
#include "halog/file_log.h"

namespace p11ha::pkcs11 {

/// Takes over what can be changed under a running application, whole or not at all: a file with an error, or without a
/// group that runs, changes nothing, nor does one that is not written to its end. What has to wait for the next
/// C_Initialize is said, once. Owned by the Runtime, whose parts it changes. Before begin() one thread, then any.
class Configuration {
 public:
  /// `settings`: those of the file as it was loaded, by which the process runs. `extended` is told when modules were
  /// loaded or servers were asked in addition.
  Configuration(const std::string& path, const base::FileStamp& stamp, config::Settings settings, halog::FileLog& log,
                compose::Composition& composition, base::Workers& workers, std::function<void()> extended);

  /// A group of the settings, and the token that it is.
  void manages(const config::Group& group, ha::VirtualToken& token);
  /// A member slot: only the policy of all groups alike concerns it.
  void manages(const ha::GroupPolicy& policy, ha::VirtualToken& token);

  /// All that it manages runs: the file is watched from now on.
  void begin();
  /// Nothing is changed any more, once whoever is at it (a worker) has come back.
  void end() P11HA_EXCLUDES(pauses_);

  /// Looks whether the file has changed, and takes it over. Blocks, if it has, as the file's writer and new members'
  /// modules and servers do. Returns at once while another thread is at it, which then looks once more.
  void refresh() P11HA_EXCLUDES(turn_, pauses_);

  /// Why that file would be refused; empty where it would be taken over.
  std::string faultOf(const config::Settings& settings) const P11HA_EXCLUDES(turn_);

 private:
  struct Managed {
    std::string label;
    std::string serial;
    ha::VirtualToken* token = nullptr;
    bool isGroup = true;
    std::uint64_t recoveryCounter = 0;
    std::set<std::string> known;  // members that it was given the token of
  };

  bool changed();
  void look() P11HA_REQUIRES(turn_);
  std::optional<base::Result<config::Loaded, config::Diagnostic>> loadSteady() P11HA_EXCLUDES(pauses_);
  bool pause() P11HA_EXCLUDES(pauses_);
  bool isEnding() P11HA_EXCLUDES(pauses_);
  const config::Group* find(const Managed& managed, const config::Settings& settings) const;
  bool needsMore(const config::Settings& settings) const;
  std::string faultIn(const config::Settings& settings) const P11HA_REQUIRES(turn_);
  void refuse(const std::string& reason) P11HA_REQUIRES(turn_);
  void takeOver(const config::Settings& settings) P11HA_REQUIRES(turn_);
  std::function<void()> configureLog(halog::LogSettings logging) P11HA_REQUIRES(turn_) P11HA_EXCLUDES(logTurn_);
  void extendFor(const config::Settings& settings) P11HA_REQUIRES(turn_);
  ha::GroupUpdate updateOf(Managed& managed, const config::Settings& settings) P11HA_REQUIRES(turn_);
  void sayPending(const config::Settings& settings) P11HA_REQUIRES(turn_);
  template <class Event>
  void tell(const std::string& reason);

  const std::string path_;
  halog::FileLog& log_;
  compose::Composition& composition_;
  base::Workers& workers_;
  const std::function<void()> extended_;
  std::vector<Managed> managed_;  // `known` and the counter: of whoever has the turn

  std::atomic<bool> begun_{false};
  std::atomic<bool> wanted_{false};  // a look
  std::atomic<bool> queued_{false};  // one on a worker, not yet begun

  // Held across loading and all that follows. Nothing waits for it.
  mutable base::Mutex turn_;
  std::optional<base::FileStamp> seen_ P11HA_GUARDED_BY(turn_);
  config::Settings running_ P11HA_GUARDED_BY(turn_);
  std::string lastFilled_ P11HA_GUARDED_BY(turn_);  // Settings::lastFilled of the file that was taken over
  halog::LogSettings logging_ P11HA_GUARDED_BY(turn_);
  std::set<std::string> refused_ P11HA_GUARDED_BY(turn_);  // why, as was said since a file was taken over
  std::set<std::string> pending_ P11HA_GUARDED_BY(turn_);  // what was said to wait

  base::Mutex logTurn_;
  std::uint64_t logChanges_ P11HA_GUARDED_BY(logTurn_) = 0;

  base::Mutex pauses_;
  base::Condition ended_;
  bool ending_ P11HA_GUARDED_BY(pauses_) = false;

  std::unique_ptr<base::FileWatch> watch_;
};

/// How the settings want the HA log to be.
halog::LogSettings logSettings(const config::HaConfiguration& ha);

}  // namespace p11ha::pkcs11
