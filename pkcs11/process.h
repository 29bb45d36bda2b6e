// The one Runtime of this process, and what becomes of it in a forked child.
#pragma once

#include "pkcs11/runtime.h"

namespace p11ha::pkcs11 {

CK_RV initialize(const cryptoki::InitializeArgs* arguments);
CK_RV finalize(const void* reserved);

namespace detail {

/// By which calls come in.
struct Door {
  std::atomic<Runtime*> runtime{nullptr};
  // Open while `runtime` is there. Never destroyed: somebody may be leaving it. One in which a call is stuck is left to
  // it, and another takes its place.
  std::atomic<base::Gate*> gate{new base::Gate};
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
    shard_ = gate_->enter();
    if (shard_ != nullptr) runtime_ = door->runtime.load(std::memory_order_acquire);
  }
  ~Entry() {
    if (shard_ != nullptr) gate_->leave(*shard_);
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  explicit operator bool() const { return runtime_ != nullptr; }
  Runtime* operator->() const { return runtime_; }

 private:
  base::Gate* gate_ = nullptr;
  base::Gate::Shard* shard_ = nullptr;
  Runtime* runtime_ = nullptr;
};

}  // namespace p11ha::pkcs11
