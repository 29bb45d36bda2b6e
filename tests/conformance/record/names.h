// What a handle means, in place of its number.
#pragma once

#include <map>
#include <string>

#include "cryptoki/pkcs11.h"

namespace p11ha::conformance {

/// Handles of objects differ from module to module, their names do not: scripts name what they make. One thread.
class Names {
 public:
  void name(CK_ULONG handle, const std::string& as) { names_[handle] = as; }
  /// "unnamed" for a handle that no script has named, "0" for CK_INVALID_HANDLE.
  std::string of(CK_ULONG handle) const {
    if (handle == CK_INVALID_HANDLE) return "0";
    const auto found = names_.find(handle);
    return found == names_.end() ? "unnamed" : found->second;
  }

 private:
  std::map<CK_ULONG, std::string> names_;
};

}  // namespace p11ha::conformance
