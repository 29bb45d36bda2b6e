// The one Runtime of this process, and what becomes of it in a forked child.
#pragma once

#include "pkcs11/runtime.h"

namespace p11ha::pkcs11 {

CK_RV initialize(const cryptoki::InitializeArgs* arguments);
CK_RV finalize(const void* reserved);

/// Holds the Runtime for one call. Empty between C_Finalize and C_Initialize, and in a child of fork until its own
/// C_Initialize.
class Entry {
 public:
  Entry();
  ~Entry() {
    if (runtime_ != nullptr) gate_->leave();
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  explicit operator bool() const { return runtime_ != nullptr; }
  Runtime* operator->() const { return runtime_; }

 private:
  base::Gate* gate_ = nullptr;
  Runtime* runtime_ = nullptr;
};

}  // namespace p11ha::pkcs11
