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
/// So the number is raised once more before a search that follows changes of this process. Owned by a LocalMember; any
/// thread.
class SoftHsmStore {
 public:
  /// For the token of that serial number; nullptr where the library is another, or its directory is not found.
  static std::unique_ptr<SoftHsmStore> find(const FunctionList& functions, std::string_view serial);
  explicit SoftHsmStore(std::filesystem::path generation) : path_(std::move(generation)) {}

  /// A call that may make or destroy an object, for as long as it runs.
  class Change {
   public:
    explicit Change(SoftHsmStore& store) : store_(store) {
      ++store_.underWay_;
      ++store_.changes_;
    }
    ~Change() {
      ++store_.changes_;
      --store_.underWay_;
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    SoftHsmStore& store_;
  };

  /// Before C_FindObjectsInit. What cannot be raised stays as it is: the search is then as SoftHSM has it. Returns what
  /// mayHaveMissed() wants.
  std::uint64_t beforeSearch() {
    const std::uint64_t changes = changes_;
    if (shown_ != changes) show(changes);
    return changes;
  }
  /// After it: a change that ran beside it may have taken the raised number for its own.
  bool mayHaveMissed(std::uint64_t before) const { return underWay_ != 0 || changes_ != before; }

 private:
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
