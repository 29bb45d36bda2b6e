// Where the application's threads may be cancelled (pthread_cancel).
#pragma once

#include <pthread.h>

namespace p11ha::base {

/// No cancellation for a scope: modules are not written to be unwound in the middle of a call (SoftHSM's own catch(...)
/// makes glibc abort the process), and leave their locks held. The thread ends at its next cancellation point.
class Uncancelled {
 public:
  Uncancelled() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~Uncancelled() { pthread_setcancelstate(before_, nullptr); }
  Uncancelled(const Uncancelled&) = delete;
  Uncancelled& operator=(const Uncancelled&) = delete;

 private:
  int before_;
};

}  // namespace p11ha::base
