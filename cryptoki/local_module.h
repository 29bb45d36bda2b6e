// A PKCS #11 library in this process, and its tokens as Members.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "cryptoki/member.h"
#include "cryptoki/softhsm_store.h"

namespace p11ha::cryptoki {

class Modules;
struct LoadedModule;

/// A token as a module shows it.
struct TokenInSlot {
  CK_SLOT_ID slot = 0;
  std::string serial;
  std::string label;
};

/// A module at work, from its C_Initialize to its C_Finalize (Modules::open). Owned jointly by its LocalMembers. The
/// library stays mapped, since threads of its own may outlive this. Any thread.
class LocalModule {
 public:
  LocalModule(Modules& modules, LoadedModule& loaded, std::string reserved);
  /// Finalizes, unless that was done or the module was abandoned.
  ~LocalModule();
  LocalModule(const LocalModule&) = delete;
  LocalModule& operator=(const LocalModule&) = delete;

  const FunctionList& functions() const { return functions_; }

  /// The slots that hold a token now; the rv of the module where it will not tell.
  base::Result<std::vector<TokenInSlot>, CK_RV> tokens() const;

  /// Where the token of that serial number is in a file store of SoftHSM: makes the calls of its sessions. nullptr:
  /// they are made as they are. Owned by the module.
  SoftHsmStore* storeOf(const std::string& serial) P11HA_EXCLUDES(findingStores_);

  /// Where somebody else has finalized the module: initialises it again.
  CK_RV initializeAgain();
  /// Calls C_Finalize, unless somebody else had called C_Initialize. Once; no call may be inside.
  void finalize();
  /// Never finalizes it: a call has not come back from it.
  void abandon();

 private:
  Modules& modules_;
  LoadedModule& loaded_;
  const std::string reserved_;
  const FunctionList functions_;
  base::Mutex findingStores_;
  std::map<std::string, std::unique_ptr<SoftHsmStore>> stores_ P11HA_GUARDED_BY(findingStores_);
};

/// A token of a LocalModule. Calls run on the caller's thread and return when the module does.
class LocalMember final : public Member {
 public:
  /// `serial` is what the configuration calls the token. With a slot, the token is whatever that slot holds at first;
  /// without, it is the token of that serial, in whichever slot it is.
  LocalMember(std::shared_ptr<LocalModule> module, std::string serial, std::optional<CK_SLOT_ID> slot);

  const std::string& serial() const override { return serial_; }
  CK_RV attach() override;
  Outcome execute(const Call& call) override;

 private:
  CK_RV find() P11HA_REQUIRES(attaching_);
  [[gnu::noinline]] Outcome executeInSlot(Call call);  // apart, as its copy needs room

  const std::shared_ptr<LocalModule> module_;
  const std::string serial_;
  const std::optional<CK_SLOT_ID> fixedSlot_;
  static constexpr CK_SLOT_ID kNoSlot = CK_UNAVAILABLE_INFORMATION;  // never attached
  std::atomic<CK_SLOT_ID> slot_{kNoSlot};
  base::Mutex attaching_;
  bool attached_ P11HA_GUARDED_BY(attaching_) = false;
  std::string ownSerial_ P11HA_GUARDED_BY(attaching_);  // of the token first attached
  std::atomic<SoftHsmStore*> store_{nullptr};
};

}  // namespace p11ha::cryptoki
