// The token that is measured, as any application uses one.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "bench/workload.h"
#include "cryptoki/local_module.h"

namespace p11ha::bench {

/// A token of a module that this process has loaded, logged in. One thread, but for the lanes: each is its thread's.
class Token {
 public:
  struct Spec {
    std::string module;
    std::string label;
    std::string pin;
  };

  /// Loads the module and logs in. The error is ready to be shown.
  static base::Result<std::unique_ptr<Token>, std::string> open(const Spec& spec);

  /// A session of its own, with the workload's key: a token object, which stays there for the next process.
  base::Result<Lane, std::string> openLane(const Workload& workload);
  void close(const Lane& lane) { module_->functions().C_CloseSession(lane.session); }

  /// The module's own, and the session that is logged in: read-write.
  const cryptoki::FunctionList& functions() const { return module_->functions(); }
  CK_SESSION_HANDLE session() const { return session_; }
  /// All objects that it shows.
  base::Result<std::vector<CK_OBJECT_HANDLE>, std::string> list();

 private:
  explicit Token(std::shared_ptr<cryptoki::LocalModule> module) : module_(std::move(module)) {}

  std::string logIn(const Spec& spec);
  CK_RV key(KeyKind kind, CK_OBJECT_HANDLE& handle);

  const std::shared_ptr<cryptoki::LocalModule> module_;
  CK_SLOT_ID slot_ = 0;
  CK_SESSION_HANDLE session_ = CK_INVALID_HANDLE;  // keeps the login
  std::map<KeyKind, CK_OBJECT_HANDLE> keys_;
};

}  // namespace p11ha::bench
