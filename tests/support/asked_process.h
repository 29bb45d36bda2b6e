// Another process of the test, which makes a call whenever it is asked.
#pragma once

#include <sys/types.h>

#include <functional>

#include "cryptoki/pkcs11.h"

namespace p11ha::tests {

/// Forked when it is made: this process must have one thread then, and not have loaded what the other loads. One
/// thread.
class AskedProcess {
 public:
  using Call = std::function<CK_RV()>;
  /// `begin` runs in the other process when it is asked first, and gives the call.
  explicit AskedProcess(const std::function<Call()>& begin);
  /// Ends it, without C_Finalize, as many a process ends.
  ~AskedProcess();
  AskedProcess(const AskedProcess&) = delete;
  AskedProcess& operator=(const AskedProcess&) = delete;

  /// What its call answers.
  CK_RV ask() const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int end_ = -1;
};

}  // namespace p11ha::tests
