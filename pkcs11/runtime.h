// Everything between C_Initialize and C_Finalize.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/gate.h"
#include "base/scheduler.h"
#include "compose/compose.h"
#include "halog/file_log.h"
#include "pkcs11/configuration.h"
#include "pkcs11/slot_events.h"
#include "pkcs11/status_file.h"

namespace p11ha::pkcs11 {

/// Made by C_Initialize, ended by C_Finalize. Never destroyed while a call may still be in it: then it is left in
/// memory. Any thread that is inside `gate`.
class Runtime {
 public:
  /// Reads the configuration, loads the modules and starts the groups. Says on standard error, a line each, what was
  /// wrong. CKR_GENERAL_ERROR: the configuration could not be read at all. `extended` is told, on a worker, when
  /// modules or servers came to it later, which a changed configuration names.
  static CK_RV create(cryptoki::Modules& modules, std::unique_ptr<Runtime>& made,
                      std::function<void(const Runtime&)> extended);
  ~Runtime();

  /// With the gate closed: wakes the calls that sleep, waits FinalizeWait for the others, and as long again for the
  /// members to take their leave. False: some call did not come back, and the runtime must be left where it is.
  bool shutDown(base::Gate<Runtime>& gate);
  /// It has members elsewhere.
  bool connects() const { return composition_.fleet->connects(); }
  /// No thread of its own is inside a member. Takes no lock: also for a child of fork that looks at its parent's.
  bool idle() const { return workers_.idle(); }

  ha::SessionTable sessions;

  /// Null if there is no such slot.
  ha::VirtualToken* token(CK_SLOT_ID slot) const;
  CK_RV slotList(CK_BBOOL tokenPresent, CK_SLOT_ID* list, CK_ULONG* count) const;
  CK_RV waitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID* slot);

 private:
  Runtime(const std::string& path, const base::FileStamp& stamp, const config::Settings& settings,
          cryptoki::Modules& modules, std::function<void(const Runtime&)> extended);

  // A token with the thread that manages it.
  struct Managed {
    std::unique_ptr<base::ThreadScheduler> scheduler;
    std::unique_ptr<ha::VirtualToken> token;
    std::unique_ptr<std::atomic<bool>> looking;  // a member slot: lookAtMembers() is at it; a group: null
  };

  // The status file with what it runs on.
  struct Status {
    Status(std::string directory, const base::Clock& clock, StatusFile::Collect collect)
        : file(std::move(directory), clock, scheduler, workers, std::move(collect)) {}
    base::ThreadScheduler scheduler;
    base::ThreadWorkers workers;
    StatusFile file;
  };

  void watchStatus(const std::string& configured);
  std::vector<ha::GroupStatus> groupStatus() const;
  ha::VirtualToken& add(ha::Face face, const ha::GroupPolicy& policy, std::vector<ha::MemberSpec> members,
                        halog::Sink& log);
  bool endStatus();
  bool leave(base::Monotonic until, const base::Task& part);
  void lookAtMembers();

  const std::chrono::milliseconds finalizeWait_;
  base::SystemClock clock_;
  halog::FileLog log_;
  halog::FileLog silent_;  // member slots are no group: nothing of them is in the HA log
  base::ThreadWorkers workers_;
  compose::Composition composition_;
  Configuration configuration_;
  SlotEvents events_;
  std::atomic<base::Monotonic> nextLook_{base::Monotonic::min()};
  std::unique_ptr<Status> status_;       // null: there is no directory for it
  std::vector<Managed> tokens_;          // by slot
  std::atomic<std::size_t> stopped_{0};  // of them, at the end
};

}  // namespace p11ha::pkcs11
