// A PKCS #11 library in this process, and its tokens as Members.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "cryptoki/member.h"

namespace p11ha::cryptoki {

/// Which library, and how it wants to be initialised.
struct ModuleSpec {
  std::string path;
  std::string reserved;  // passed as NSS softokn wants its parameters; empty: none
};

/// A token as a module shows it.
struct TokenInSlot {
  CK_SLOT_ID slot = 0;
  std::string serial;
  std::string label;
};

/// A dlopen'd module. Owned jointly by its LocalMembers; the last one's end finalizes it (unless somebody else had
/// initialised it: CKR_CRYPTOKI_ALREADY_INITIALIZED) and leaves the library mapped, since threads of its own may
/// outlive it. Its C_Initialize is called once and alone. Any thread after open().
class LocalModule {
 public:
  /// Loads and initialises. The error names the path and what went wrong, ready to be shown.
  static base::Result<std::shared_ptr<LocalModule>, std::string> open(const ModuleSpec& spec);
  ~LocalModule();
  LocalModule(const LocalModule&) = delete;
  LocalModule& operator=(const LocalModule&) = delete;

  const FunctionList& functions() const { return functions_; }
  const std::string& path() const { return path_; }

  /// The slots that hold a token now; the rv of the module where it will not tell.
  base::Result<std::vector<TokenInSlot>, CK_RV> tokens() const;

  /// Forgets the module without a call into it: for a child of fork, and where a call never came back.
  void abandon() { finalizeAtEnd_.store(false, std::memory_order_relaxed); }

 private:
  LocalModule(std::string path, const FunctionList& functions, bool finalizeAtEnd);

  const std::string path_;
  const FunctionList functions_;
  std::atomic<bool> finalizeAtEnd_;
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
  const std::shared_ptr<LocalModule> module_;
  const std::string serial_;
  const std::optional<CK_SLOT_ID> fixedSlot_;
  static constexpr CK_SLOT_ID kNoSlot = CK_UNAVAILABLE_INFORMATION;  // never attached
  std::atomic<CK_SLOT_ID> slot_{kNoSlot};
  base::Mutex attaching_;
  bool attached_ P11HA_GUARDED_BY(attaching_) = false;
  std::string ownSerial_ P11HA_GUARDED_BY(attaching_);  // of the token first attached
};

}  // namespace p11ha::cryptoki
