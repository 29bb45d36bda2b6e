// Answers on the wire: the return value, then each output, in the order in which the request was walked. Outputs go
// with errors too.
#pragma once

#include "cryptoki/pkcs11.h"
#include "transport/codec/buffer.h"
#include "transport/codec/outputs.h"
#include "transport/codec/reader.h"

namespace p11ha::transport {

/// At the server: appends what the module answered. The return value that was sent: CKR_HOST_MEMORY where the module
/// needs more room than the limits allow though the application has it, CKR_DEVICE_ERROR where it claims to have
/// written more than its room. May throw std::bad_alloc, and then nothing was appended. Any thread.
CK_RV encodeAnswer(CK_RV rv, const Outputs& outputs, Buffer& to);

/// At the client: takes an answer off the front and writes it where the application wants it: never more than the room
/// it gave, never a pointer, nothing that did not change. False, and nothing was written: the answer ends early, or
/// does not fit what was asked (a protocol error: the connection is of no more use). Any thread; does not throw.
[[nodiscard]] bool decodeAnswer(Reader& from, const Outputs& outputs, CK_RV& rv);

}  // namespace p11ha::transport
