// What C_Initialize may be given (PKCS #11 v3.0, 5.4): pure.
#pragma once

#include "cryptoki/pkcs11.h"

namespace p11ha::pkcs11 {

/// CKR_OK, or what these arguments are answered with. p11ha locks with the operating system's own primitives and needs
/// threads: for its management, which no callback replaces.
CK_RV checkInitializeArguments(const cryptoki::InitializeArgs* arguments);

}  // namespace p11ha::pkcs11
