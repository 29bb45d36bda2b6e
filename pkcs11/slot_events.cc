#include "pkcs11/slot_events.h"

#include <chrono>

namespace p11ha::pkcs11 {

void SlotEvents::happened(CK_SLOT_ID slot) {
  base::Lock lock(mutex_);
  slots_.insert(slot);
  changed_.notifyOne();
}

void SlotEvents::forget() {
  base::Lock lock(mutex_);
  slots_.clear();
}

bool SlotEvents::take(CK_SLOT_ID* slot) {
  base::Lock lock(mutex_);
  return takeLocked(slot);
}

bool SlotEvents::takeLocked(CK_SLOT_ID* slot) {
  if (slots_.empty()) return false;
  *slot = *slots_.begin();
  slots_.erase(slots_.begin());
  return true;
}

CK_RV SlotEvents::await(CK_SLOT_ID* slot, base::Monotonic until) {
  base::Lock lock(mutex_);
  while (!ending_) {
    if (takeLocked(slot)) return CKR_OK;
    if (std::chrono::steady_clock::now() >= until) return CKR_NO_EVENT;
    changed_.waitUntil(mutex_, until);
  }
  return CKR_CRYPTOKI_NOT_INITIALIZED;
}

void SlotEvents::end() {
  base::Lock lock(mutex_);
  ending_ = true;
  changed_.notifyAll();
}

}  // namespace p11ha::pkcs11
