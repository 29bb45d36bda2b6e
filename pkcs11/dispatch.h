// The way of every call from the C border to whoever answers it.
#pragma once

#include "cryptoki/call.h"

namespace p11ha::pkcs11 {

/// Any thread. No exception crosses it but the unwinding of a cancelled thread.
CK_RV dispatch(const cryptoki::Call& call);

}  // namespace p11ha::pkcs11
