// What C_Initialize may be given (PKCS #11 v3.0, 5.4): pure.
#pragma once

#include "cryptoki/pkcs11.h"

namespace p11ha::pkcs11 {

/// CKR_OK, or what these arguments are answered with. p11ha locks with the operating system's own primitives and makes
/// threads, with all signals blocked, for its management. CKF_LIBRARY_CANT_CREATE_OS_THREADS does not change that:
/// p11-kit and NSS always set it, and refusing them would lock out all programs on GnuTLS and NSS.
CK_RV checkInitializeArguments(const cryptoki::InitializeArgs* arguments);

}  // namespace p11ha::pkcs11
