#include "cryptoki/interfaces.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace p11ha::cryptoki {

CK_RV Interfaces::getFunctionList(CK_FUNCTION_LIST_PTR_PTR list) const {
  if (list == nullptr) return CKR_ARGUMENTS_BAD;
  *list = const_cast<CK_FUNCTION_LIST*>(&old_);
  return CKR_OK;
}

CK_RV Interfaces::getInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count) const {
  if (count == nullptr) return CKR_ARGUMENTS_BAD;
  const CK_ULONG room = *count;
  *count = std::size(offered_);
  if (list == nullptr) return CKR_OK;
  if (room < std::size(offered_)) return CKR_BUFFER_TOO_SMALL;
  std::copy(std::begin(offered_), std::end(offered_), list);
  return CKR_OK;
}

CK_RV Interfaces::getInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface,
                               CK_FLAGS flags) const {
  if (interface == nullptr) return CKR_ARGUMENTS_BAD;
  if (name != nullptr && std::strcmp(reinterpret_cast<const char*>(name), reinterpret_cast<const char*>(kName)) != 0)
    return CKR_ARGUMENTS_BAD;
  for (const CK_INTERFACE& each : offered_) {
    const auto* offered = static_cast<const CK_VERSION*>(each.pFunctionList);
    const bool same = version == nullptr || (version->major == offered->major && version->minor == offered->minor);
    if (!same || (flags & ~each.flags) != 0) continue;
    *interface = const_cast<CK_INTERFACE*>(&each);
    return CKR_OK;
  }
  return CKR_ARGUMENTS_BAD;
}

}  // namespace p11ha::cryptoki
