// What C_WaitForSlotEvent waits for: tokens of member slots that go and come back.
#pragma once

#include <set>

#include "base/clock.h"
#include "base/mutex.h"
#include "cryptoki/pkcs11.h"

namespace p11ha::pkcs11 {

/// A flag for each slot, as PKCS #11 v3.0, 5.5.6 describes: however much happens to a slot before anybody asks, and
/// however many wait, it is told once. Any thread.
class SlotEvents {
 public:
  /// The token of that slot has gone or come.
  void happened(CK_SLOT_ID slot) P11HA_EXCLUDES(mutex_);
  /// What happened so far was before anybody could see it: while the tokens were looked for at C_Initialize.
  void forget() P11HA_EXCLUDES(mutex_);

  /// Takes an event, if there is one.
  bool take(CK_SLOT_ID* slot) P11HA_EXCLUDES(mutex_);
  /// Waits for one: CKR_NO_EVENT when there is none until then, CKR_CRYPTOKI_NOT_INITIALIZED once end() was called. The
  /// calling thread may be cancelled in it.
  CK_RV await(CK_SLOT_ID* slot, base::Monotonic until) P11HA_EXCLUDES(mutex_);
  void end() P11HA_EXCLUDES(mutex_);

 private:
  bool takeLocked(CK_SLOT_ID* slot) P11HA_REQUIRES(mutex_);

  base::Mutex mutex_;
  base::Condition changed_;
  std::set<CK_SLOT_ID> slots_ P11HA_GUARDED_BY(mutex_);
  bool ending_ P11HA_GUARDED_BY(mutex_) = false;
};

}  // namespace p11ha::pkcs11
