// What processes see of each other in the file store of SoftHSM 2.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "base/descriptor.h"
#include "base/mutex.h"
#include "cryptoki/call.h"

namespace p11ha::cryptoki {

/// As of version 2.6.1, and what is done about it here:
///
/// A token's directory has a file `generation`, a number that each process raises when it makes or destroys an object.
/// A search lists the directory anew only where that number is not the last one that its process has read or written.
/// What others made just before a process makes something itself it therefore never sees, until they make something
/// else: a group that several applications use would copy what is there already. So the number is raised once more
/// before a search that follows changes of this process.
///
/// Each use of an object may list the directory anew. If that happens while another thread of the process is making an
/// object on the token, that one may be in the list twice from then on, under two handles; if it happens while an
/// object is written, that one may be taken for invalid from then on, and the call that writes it may answer
/// CKR_GENERAL_ERROR. So the calls of this process that change the token's objects are made alone.
///
/// Owned by the LocalModule; any thread.
class SoftHsmStore {
 public:
  /// For the token of that serial number; nullptr where the library is another, or its directory is not found.
  static std::unique_ptr<SoftHsmStore> find(const FunctionList& functions, std::string_view serial);
  explicit SoftHsmStore(std::filesystem::path generation) : path_(std::move(generation)) {}

  /// Makes a call of one of the token's sessions.
  CK_RV run(const FunctionList& functions, const Call& call);

 private:
  class Shared;
  class Alone;
  void enterShared() P11HA_EXCLUDES(mutex_);
  void leaveShared() P11HA_EXCLUDES(mutex_);
  void enterAlone() P11HA_EXCLUDES(mutex_);
  void leaveAlone() P11HA_EXCLUDES(mutex_);
  void showChanges() P11HA_EXCLUDES(mutex_);
  void raise() P11HA_REQUIRES(mutex_);
  bool open() P11HA_REQUIRES(mutex_);

  const std::filesystem::path path_;
  base::Mutex mutex_;  // held across no call of the library
  base::Condition passing_;
  std::atomic<std::size_t> sharers_{0};   // inside
  std::atomic<std::size_t> changers_{0};  // inside or waiting; changed under mutex_
  std::size_t alone_ P11HA_GUARDED_BY(mutex_) = 0;
  std::size_t waiting_ P11HA_GUARDED_BY(mutex_) = 0;  // sharers
  std::uint64_t phase_ P11HA_GUARDED_BY(mutex_) = 0;  // those that waited before it changed are inside
  std::atomic<bool> isChanged_{false};                // since the number was raised last
  /// Stays open: to close any descriptor of a file ends the locks that SoftHSM, in this process, has on it (fcntl(2)).
  base::Descriptor file_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::cryptoki
