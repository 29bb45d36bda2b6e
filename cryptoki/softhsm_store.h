// What processes see of each other in the file store of SoftHSM 2.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
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
/// A search that meets an object in the middle of being written takes it for invalid, and so it stays for this process;
/// the call that makes it may answer CKR_GENERAL_ERROR and leave a nameless object. So searches and changes of this
/// process are not made at the same time.
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
  enum class Kind : std::uint8_t { Search, Change };
  class Passage;
  void enter(Kind kind) P11HA_EXCLUDES(mutex_);
  void leave(Kind kind) P11HA_EXCLUDES(mutex_);
  void raise() P11HA_REQUIRES(mutex_);
  bool open() P11HA_REQUIRES(mutex_);

  const std::filesystem::path path_;
  base::Mutex mutex_;  // held across no call of the library
  base::Condition passing_;
  std::array<std::size_t, 2> inside_ P11HA_GUARDED_BY(mutex_){};  // by Kind
  std::set<std::uint64_t> waiting_ P11HA_GUARDED_BY(mutex_);      // in the order in which they came
  std::uint64_t next_ P11HA_GUARDED_BY(mutex_) = 0;
  bool isChanged_ P11HA_GUARDED_BY(mutex_) = false;  // since the number was raised last
  /// Stays open: to close any descriptor of a file ends the locks that SoftHSM, in this process, has on it (fcntl(2)).
  base::Descriptor file_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::cryptoki
