// The parameters of mechanisms on the wire: each structure member by member, in the order of mechanism_parameters.def,
// and behind each pointer what it points to.
#pragma once

#include "transport/codec/encoding.h"

namespace p11ha::transport {

/// A CK_MECHANISM, or NULL. CKR_OK; CKR_MECHANISM_PARAM_INVALID; CKR_HOST_MEMORY.
CK_RV encodeMechanism(const CK_MECHANISM* mechanism, Encoding& encoding);
/// False where it is wrong, or at the end of what came.
[[nodiscard]] bool decodeMechanism(CK_MECHANISM*& mechanism, Decoding& decoding);

/// The parameter of a message: its structure is told by its size, as the call does not name the mechanism.
CK_RV encodeMessageParameter(void* parameter, CK_ULONG length, Encoding& encoding);
[[nodiscard]] bool decodeMessageParameter(void*& parameter, CK_ULONG& length, Decoding& decoding);

}  // namespace p11ha::transport
