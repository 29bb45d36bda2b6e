// Answers of members that several tests of the HA core name.
#pragma once

#include "cryptoki/pkcs11.h"
#include "halog/event.h"

namespace p11ha::ha::test {

/// Those after which a member is asked how it is (DESIGN.md, "Return codes").
inline constexpr CK_RV kAsk[] = {CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_HOST_MEMORY, CKR_DEVICE_MEMORY};

inline const halog::Code kDeviceError{CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR"};

}  // namespace p11ha::ha::test
