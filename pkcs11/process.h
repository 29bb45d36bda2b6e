// The one Runtime of this process, and what becomes of it in a forked child.
#pragma once

#include "pkcs11/runtime.h"

namespace p11ha::pkcs11 {

CK_RV initialize(const cryptoki::InitializeArgs* arguments);
CK_RV finalize(const void* reserved);

namespace detail {

/// By which calls come in.
struct Door {
  // Never destroyed: somebody may be leaving it. One in which a call is stuck is left to it, and another takes its
  // place.
  std::atomic<base::Gate<Runtime>*> gate{new base::Gate<Runtime>};
};

/// Reads as zero in a child of fork (MADV_WIPEONFORK), so that noticing one costs a load.
struct ForkPage {
  std::atomic<Door*> door;
};

/// Before the first C_Initialize: one without a door.
extern constinit std::atomic<ForkPage*> forkPage;

}  // namespace detail

/// Holds the Runtime for one call. Empty between C_Finalize and C_Initialize, and in a child of fork until its own
/// C_Initialize.
class Entry {
 public:
  Entry() {
    detail::Door* const door = detail::forkPage.load(std::memory_order_acquire)->door.load(std::memory_order_acquire);
    if (door == nullptr) return;
    gate_ = door->gate.load(std::memory_order_acquire);
    place_ = gate_->enter();
  }
  ~Entry() {
    if (place_.behind != nullptr) gate_->leave(*place_.shard);
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  explicit operator bool() const { return place_.behind != nullptr; }
  Runtime* operator->() const { return place_.behind; }

 private:
  base::Gate<Runtime>* gate_ = nullptr;
  base::Gate<Runtime>::Place place_;
};

}  // namespace p11ha::pkcs11
