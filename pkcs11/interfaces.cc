// The function lists that applications ask for (PKCS #11 v3.0, 5.4.4 to 5.4.6).
#include <cstring>

#include "pkcs11/dispatch.h"

namespace p11ha::pkcs11 {
namespace {

// Named from functions.def, filled before main by nobody: constants.
CK_FUNCTION_LIST_3_0 list30 = {
    {3, 0},
#define FN(name, ...) &C_##name,
#include "cryptoki/functions.def"
#undef FN
};

// A v2.40 list is the v3.0 list cut off behind its 68th function.
struct List240 {
  CK_FUNCTION_LIST functions;
  List240() {
    std::memcpy(&functions, &list30, sizeof functions);
    functions.version = {2, 40};
  }
};

CK_FUNCTION_LIST& list240() {
  static List240 list;
  return list.functions;
}

CK_UTF8CHAR interfaceName[] = "PKCS 11";

CK_INTERFACE* interfaces() {
  static CK_INTERFACE all[] = {{interfaceName, &list30, CKF_INTERFACE_FORK_SAFE},
                               {interfaceName, &list240(), CKF_INTERFACE_FORK_SAFE}};
  return all;
}
constexpr CK_ULONG kInterfaces = 2;

}  // namespace

CK_RV getFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  if (list == nullptr) return CKR_ARGUMENTS_BAD;
  *list = &list240();
  return CKR_OK;
}

CK_RV getInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count) {
  if (count == nullptr) return CKR_ARGUMENTS_BAD;
  const CK_ULONG room = *count;
  *count = kInterfaces;
  if (list == nullptr) return CKR_OK;
  if (room < kInterfaces) return CKR_BUFFER_TOO_SMALL;
  std::memcpy(list, interfaces(), kInterfaces * sizeof *list);
  return CKR_OK;
}

CK_RV getInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface, CK_FLAGS flags) {
  if (interface == nullptr) return CKR_ARGUMENTS_BAD;
  for (CK_ULONG i = 0; i < kInterfaces; ++i) {
    CK_INTERFACE& offered = interfaces()[i];
    const auto* offeredVersion = static_cast<const CK_VERSION*>(offered.pFunctionList);
    if (name != nullptr &&
        std::strcmp(reinterpret_cast<const char*>(name), reinterpret_cast<const char*>(interfaceName)) != 0)
      continue;
    if (version != nullptr && (version->major != offeredVersion->major || version->minor != offeredVersion->minor))
      continue;
    if ((offered.flags & flags) != flags) continue;
    *interface = &offered;
    return CKR_OK;
  }
  return CKR_ARGUMENTS_BAD;
}

}  // namespace p11ha::pkcs11
