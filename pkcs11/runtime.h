// Everything between C_Initialize and C_Finalize.
#pragma once

#include <memory>
#include <vector>

#include "base/gate.h"
#include "base/scheduler.h"
#include "compose/compose.h"
#include "halog/file_log.h"

namespace p11ha::pkcs11 {

/// Made by C_Initialize, ended by C_Finalize. Never destroyed while a call may still be in it: then it is left in
/// memory. Any thread that is inside `gate`.
class Runtime {
 public:
  /// Reads the configuration, loads the modules and starts the groups. Says on standard error, a line each, what was
  /// wrong. CKR_GENERAL_ERROR: the configuration could not be read at all.
  static CK_RV create(std::unique_ptr<Runtime>& made);
  ~Runtime();

  /// With the gate closed: wakes the calls that sleep, waits FinalizeWait for the others, and ends the groups. False:
  /// some call did not come back, and the runtime must be left where it is.
  bool shutDown(base::Gate& gate);

  ha::SessionTable sessions;

  /// Null if there is no such slot.
  ha::VirtualToken* token(CK_SLOT_ID slot) const;
  CK_RV slotList(CK_BBOOL tokenPresent, CK_SLOT_ID* list, CK_ULONG* count) const;
  CK_RV waitForSlotEvent(CK_FLAGS flags);

 private:
  explicit Runtime(const config::Settings& settings);

  // A token with the thread that manages it.
  struct Managed {
    std::unique_ptr<base::ThreadScheduler> scheduler;
    std::unique_ptr<ha::VirtualToken> token;
  };

  void add(ha::Face face, ha::GroupPolicy policy, std::vector<ha::MemberSpec> members, halog::Sink& log);

  const std::chrono::milliseconds finalizeWait_;
  base::SystemClock clock_;
  halog::FileLog log_;
  halog::FileLog silent_;  // member slots are no group: nothing of them is in the HA log
  base::ThreadWorkers workers_;
  compose::Composition composition_;
  std::vector<Managed> tokens_;  // by slot
  base::Mutex sleepers_;
  base::Condition wake_;
  bool ending_ P11HA_GUARDED_BY(sleepers_) = false;
};

}  // namespace p11ha::pkcs11
