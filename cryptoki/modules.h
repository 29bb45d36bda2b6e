// The PKCS#11 modules of a process: loaded once, initialised one at a time, and what becomes of them in a forked child.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "cryptoki/local_module.h"

namespace p11ha::cryptoki {

/// Which library, and how it wants to be initialised.
struct ModuleSpec {
  std::string path;
  std::string reserved;  // passed as NSS softokn wants its parameters; empty: none
};

/// A library that was loaded, for good. Constant but for `ours`.
struct LoadedModule {
  std::string path;  // as it was asked for
  std::string file;  // where the loader found it
  FunctionList functions{};
  /// Initialised by us, and not finalized yet.
  std::atomic<bool> ours{false};
  LoadedModule* next = nullptr;
};

/// Owned by one process, never destroyed, as nothing is that it loads. Any thread.
///
/// A child of fork finds every module as its parent had it, logged in and with sessions open, and some do not notice
/// (SoftHSM answers CKR_CRYPTOKI_ALREADY_INITIALIZED unless library.reset_on_fork is set): what was ours is finalized
/// and initialised again. But where threads of the parent were inside, the locks that they held stay locked in the
/// child for ever: there it loads an instance of its own, which has none of them.
class Modules {
 public:
  Modules() = default;
  /// For a child of fork: `parents` is what it inherits (null: nothing), which it only reads; `busy`: calls may have
  /// been inside those when it was forked.
  Modules(const Modules* parents, bool busy) : parents_(parents), busy_(busy) {}
  Modules(const Modules&) = delete;
  Modules& operator=(const Modules&) = delete;

  /// Loads and initialises. The error names the path and what went wrong, ready to be shown.
  base::Result<std::shared_ptr<LocalModule>, std::string> open(const ModuleSpec& spec) P11HA_EXCLUDES(mutex_);

  /// C_Initialize: CKR_OK also where somebody else had called it, whose module it stays.
  CK_RV initialize(LoadedModule& module, const std::string& reserved) P11HA_EXCLUDES(mutex_);
  /// C_Finalize, if the module is ours.
  void finalize(LoadedModule& module) P11HA_EXCLUDES(mutex_);

  /// Whether a library was loaded since this was last asked.
  bool takeLoaded() { return loaded_.exchange(false); }

 private:
  struct Inherited {
    const LoadedModule* module = nullptr;
    bool busy = false;
  };

  LoadedModule* find(const std::string& path) const;
  Inherited inherited(const std::string& path) const;
  base::Result<LoadedModule*, std::string> load(const std::string& path) P11HA_REQUIRES(mutex_);
  base::Result<LoadedModule*, std::string> add(const std::string& path, void* library, std::string file)
      P11HA_REQUIRES(mutex_);
  LoadedModule* add(const std::string& path, std::string file, const FunctionList& functions) P11HA_REQUIRES(mutex_);
  LoadedModule* openCopy(const ModuleSpec& spec, const LoadedModule& original) P11HA_REQUIRES(mutex_);
  CK_RV initializeAlone(LoadedModule& module, const std::string& reserved) P11HA_REQUIRES(mutex_);

  const Modules* const parents_ = nullptr;
  const bool busy_ = false;
  // Held across C_Initialize and C_Finalize: modules crash when several threads call them at once.
  base::Mutex mutex_;
  std::atomic<LoadedModule*> known_{nullptr};  // only ever grows, at the front, so that a child can read it
  std::atomic<bool> loaded_{false};
};

}  // namespace p11ha::cryptoki
