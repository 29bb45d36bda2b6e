// The way of every call from the C border to whoever answers it.
#pragma once

#include "cryptoki/call.h"

namespace p11ha::pkcs11 {

/// Any thread. No exception crosses it but the unwinding of a cancelled thread.
CK_RV dispatch(const cryptoki::Call& call);

/// What C_GetFunctionList, C_GetInterfaceList and C_GetInterface answer, initialised or not.
CK_RV getFunctionList(CK_FUNCTION_LIST_PTR_PTR list);
CK_RV getInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count);
CK_RV getInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface, CK_FLAGS flags);

}  // namespace p11ha::pkcs11
