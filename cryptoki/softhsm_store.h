// What processes see of each other in the file store of SoftHSM 2.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "base/descriptor.h"
#include "base/mutex.h"
#include "cryptoki/call.h"

namespace p11ha::cryptoki {

/// A token's directory has a file `generation`, a number that each process raises when it makes or destroys an object.
/// A search lists the directory anew only where that number is not the last one that its process has read or written.
/// What others made just before a process makes something itself it therefore never sees, until they make something
/// else (SoftHSM 2.6.1). A group that several applications use would copy what is there already.
///
/// So the number is raised once more before a search that follows changes of this process, and a search beside a change
/// is made again. What cannot be raised stays as it is: the search is then as SoftHSM has it. Owned by the LocalModule;
/// any thread.
class SoftHsmStore {
 public:
  /// For the token of that serial number; nullptr where the library is another, or its directory is not found.
  static std::unique_ptr<SoftHsmStore> find(const FunctionList& functions, std::string_view serial);
  explicit SoftHsmStore(std::filesystem::path generation) : path_(std::move(generation)) {}

  /// Makes a call of one of the token's sessions.
  CK_RV run(const FunctionList& functions, const Call& call);

 private:
  class Change;
  CK_RV search(const FunctionList& functions, const Call& call);
  void show(std::uint64_t changes);
  void raise() P11HA_REQUIRES(mutex_);
  bool open() P11HA_REQUIRES(mutex_);

  const std::filesystem::path path_;
  std::atomic<std::uint64_t> changes_{0};  // begun and ended
  std::atomic<std::uint64_t> underWay_{0};
  std::atomic<std::uint64_t> shown_{0};  // of the changes, when the number was raised last
  base::Mutex mutex_;
  /// Stays open: to close any descriptor of a file ends the locks that SoftHSM, in this process, has on it (fcntl(2)).
  base::Descriptor file_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::cryptoki
