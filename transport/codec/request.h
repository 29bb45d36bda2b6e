// Calls on the wire, as the roles of functions.def and the rows of mechanism_parameters.def say. Little endian, numbers
// of 64 bits; a structure without pointers goes as it lies in memory (LP64, which p11ha is built for alone).
#pragma once

#include <string_view>

#include "base/result.h"
#include "cryptoki/call.h"
#include "transport/codec/arena.h"
#include "transport/codec/buffer.h"
#include "transport/codec/limits.h"
#include "transport/codec/outputs.h"
#include "transport/codec/reader.h"

namespace p11ha::transport {

/// The number of a function on the wire: its place in the standard's function list, for good.
constexpr std::uint16_t opcode(cryptoki::Fn fn) { return static_cast<std::uint16_t>(fn); }

/// Can the function be carried to another process? Not if an argument has a meaning in the caller's alone:
/// C_Initialize, C_GetFunctionList, C_GetInterface and C_GetInterfaceList. A callback (C_OpenSession) is left behind.
bool isCarried(cryptoki::Fn fn);

/// Appends a call, and notes where its outputs are to go (`outputs` is cleared first). One call may follow another in a
/// payload. Any thread. CKR_OK; else nothing was appended:
///   CKR_HOST_MEMORY               larger than the limits allow
///   CKR_MECHANISM_PARAM_INVALID   a parameter that OwnedMechanism would refuse
///   CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_VALUE_INVALID   a template beyond the bounds of a Template
///   CKR_FUNCTION_NOT_SUPPORTED    not carried
/// May throw std::bad_alloc, likewise with nothing appended.
CK_RV encodeRequest(const cryptoki::Call& call, const Limits& limits, Buffer& to, Outputs& outputs);

/// Why a call could not be decoded.
enum class DecodeError : std::uint8_t {
  Truncated,        // it ends within an argument
  UnknownFunction,  // or one that is not carried
  Malformed,        // a value that no encoder writes
  TooDeep,          // nested beyond the bounds
  TooLarge,         // more memory than the limits allow
};
/// For a log line.
std::string_view describe(DecodeError error);

/// The bound of an arena that has room for every call within the limits.
constexpr std::size_t arenaBound(const Limits& limits) { return limits.outputs + 3 * limits.payload; }

/// Takes a call off the front. Its pointers go into the arena and into the bytes read; both must outlive it. `outputs`
/// is cleared first and then says where the module's answers are. What the application gave reaches the module as it
/// gave it: NULL with a length, a buffer without one, a length of zero. Only a buffer larger than `limits.outputs` was
/// made as large as that by the encoder. Any thread; may throw std::bad_alloc.
base::Result<cryptoki::Call, DecodeError> decodeRequest(Reader& from, const Limits& limits, Arena& arena,
                                                        Outputs& outputs);

}  // namespace p11ha::transport
