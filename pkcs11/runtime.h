// Everything between C_Initialize and C_Finalize.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/gate.h"
#include "base/scheduler.h"
#include "compose/compose.h"
#include "halog/file_log.h"
#include "pkcs11/slot_events.h"

namespace p11ha::pkcs11 {

/// Made by C_Initialize, ended by C_Finalize. Never destroyed while a call may still be in it: then it is left in
/// memory. Any thread that is inside `gate`.
class Runtime {
 public:
  /// Reads the configuration, loads the modules and starts the groups. Says on standard error, a line each, what was
  /// wrong. CKR_GENERAL_ERROR: the configuration could not be read at all.
  static CK_RV create(cryptoki::Modules& modules, std::unique_ptr<Runtime>& made);
  ~Runtime();

  /// With the gate closed: wakes the calls that sleep, waits FinalizeWait for the others, and as long again for the
  /// members to take their leave. False: some call did not come back, and the runtime must be left where it is.
  bool shutDown(base::Gate<Runtime>& gate);
  /// It has members elsewhere.
  bool connects() const { return composition_.remote != nullptr; }
  /// No thread of its own is inside a member. Takes no lock: also for a child of fork that looks at its parent's.
  bool idle() const { return workers_.idle(); }

  ha::SessionTable sessions;

  /// Null if there is no such slot.
  ha::VirtualToken* token(CK_SLOT_ID slot) const;
  CK_RV slotList(CK_BBOOL tokenPresent, CK_SLOT_ID* list, CK_ULONG* count) const;
  CK_RV waitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID* slot);

 private:
  Runtime(const config::Settings& settings, cryptoki::Modules& modules);

  // A token with the thread that manages it.
  struct Managed {
    std::unique_ptr<base::ThreadScheduler> scheduler;
    std::unique_ptr<ha::VirtualToken> token;
    std::unique_ptr<std::atomic<bool>> looking;  // a member slot: lookAtMembers() is at it; a group: null
  };

  void add(ha::Face face, ha::GroupPolicy policy, std::vector<ha::MemberSpec> members, halog::Sink& log);
  bool leave(base::Monotonic until, const base::Task& part);
  void lookAtMembers();

  const std::chrono::milliseconds finalizeWait_;
  base::SystemClock clock_;
  halog::FileLog log_;
  halog::FileLog silent_;  // member slots are no group: nothing of them is in the HA log
  base::ThreadWorkers workers_;
  compose::Composition composition_;
  SlotEvents events_;
  std::atomic<base::Monotonic> nextLook_{base::Monotonic::min()};
  std::vector<Managed> tokens_;          // by slot
  std::atomic<std::size_t> stopped_{0};  // of them, at the end
};

}  // namespace p11ha::pkcs11
