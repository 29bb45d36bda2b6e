// What a call's answer did to the operation it continues: pure.
#pragma once

#include "cryptoki/call.h"

namespace p11ha::ha {

enum class Consequence : std::uint8_t {
  None,         // a length was told, or the call never came that far
  Taken,        // its input is in the operation now
  MessageOver,  // one message of it is done, and it goes on (PKCS #11 v3.0, 5.9)
  Over,
  Doubtful,  // members differ in whether such an error ends an operation
};

/// Did the member only tell a length (PKCS #11 v3.0, 5.2)?
inline bool lengthOnly(const cryptoki::Function& row, const cryptoki::Call& call, CK_RV rv) {
  const std::uint8_t word = row.outputWord;
  if (word == 0) return false;
  if (rv == CKR_BUFFER_TOO_SMALL) return true;
  // Without a place for a length either, C_SignMessageNext asks for nothing: more is to come.
  return rv == CKR_OK && call.get<CK_BYTE*>(word) == nullptr && call.get<CK_ULONG*>(word + 1U) != nullptr;
}

/// For calls of effect Whole, Part, Final, Message and Dual.
Consequence consequence(const cryptoki::Call& call, CK_RV rv);

}  // namespace p11ha::ha
