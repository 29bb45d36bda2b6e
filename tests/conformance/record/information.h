// The CK_..._INFO structures, field by field.
#pragma once

#include <vector>

#include "cryptoki/function.h"
#include "tests/conformance/comparison/transcript.h"

namespace p11ha::conformance {

/// The fields of what a C_Get...Info function filled in. The clock counts by whether it is one; a session's slot as
/// "the token" or "another slot".
std::vector<Output> informationFields(cryptoki::Fn fn, const void* info, CK_SLOT_ID slot);

/// "CKM_AES_CBC", or its number.
std::string mechanismText(CK_MECHANISM_TYPE type);

}  // namespace p11ha::conformance
