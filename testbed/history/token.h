// A token through plain PKCS #11: the group's for the application, a member's own for the checker.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "testbed/history/attributes.h"

namespace p11ha::history {

/// Loads the module, for as long as the process lives, opens a session on the token of that label and logs in.
/// One thread. What fails in the constructor or in find() throws std::runtime_error.
class Token {
 public:
  Token(const std::string& module, const std::string& label, std::string pin);

  const CK_FUNCTION_LIST& functions() const { return *functions_; }
  CK_SESSION_HANDLE session() const { return session_; }
  CK_SLOT_ID slot() const { return slot_; }
  /// Nullptr where the module has none.
  void* symbol(const char* name) const;

  std::vector<CK_OBJECT_HANDLE> find(Attributes wanted) const;
  /// Those of them that the object has and shows.
  Attributes read(CK_OBJECT_HANDLE object, std::span<const CK_ATTRIBUTE_TYPE> types) const;
  /// C_Finalize. Nothing else may be called afterwards.
  CK_RV end() const;

 private:
  void* library_ = nullptr;
  CK_FUNCTION_LIST_PTR functions_ = nullptr;
  CK_SLOT_ID slot_ = 0;
  CK_SESSION_HANDLE session_ = CK_INVALID_HANDLE;
};

}  // namespace p11ha::history
