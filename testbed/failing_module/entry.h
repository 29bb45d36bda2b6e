// Where every call of p11ha-failing.so begins.
#pragma once

#include "cryptoki/call.h"

namespace p11ha::testbed {

/// Hands the call to the runtime of this process. Any thread.
CK_RV enter(const cryptoki::Call& call);

}  // namespace p11ha::testbed
