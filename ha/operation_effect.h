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

/// For calls of effect Whole, Part, Final, Message and Dual.
Consequence consequence(const cryptoki::Call& call, CK_RV rv);

}  // namespace p11ha::ha
