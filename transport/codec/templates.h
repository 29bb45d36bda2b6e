// Templates on the wire, nested ones (CKA_WRAP_TEMPLATE and its kin) included.
#pragma once

#include "transport/codec/encoding.h"

namespace p11ha::transport {

/// Attributes in. CKR_OK; CKR_ARGUMENTS_BAD: too many; CKR_ATTRIBUTE_VALUE_INVALID: nested too deep; CKR_HOST_MEMORY.
CK_RV encodeInTemplate(const CK_ATTRIBUTE* attributes, CK_ULONG count, Encoding& encoding);
/// False where it is wrong, or at the end of what came.
[[nodiscard]] bool decodeInTemplate(CK_ATTRIBUTE*& attributes, CK_ULONG& count, Decoding& decoding);

/// Attributes whose values are asked for: what goes is their types and rooms.
CK_RV encodeOutTemplate(CK_ATTRIBUTE* attributes, CK_ULONG count, Encoding& encoding);
[[nodiscard]] bool decodeOutTemplate(CK_ATTRIBUTE*& attributes, CK_ULONG& count, Decoding& decoding);

}  // namespace p11ha::transport
