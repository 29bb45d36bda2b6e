// What a mechanism needs: a parameter, keys, data.
#pragma once

#include "tests/conformance/script/keys.h"

namespace p11ha::conformance {

/// Told from the mechanism's name and the kind of its parameter (mechanisms.def), so that a mechanism of any module has
/// something to try it with; one that nothing is known of gets no parameter and an AES key.
struct MechanismUse {
  MechanismSpec spec;
  std::string publicKey;   // for encrypt, verify, wrap; names as Keys has them
  std::string privateKey;  // for decrypt, sign, unwrap, derive
  std::string wrongKey;    // of another type
  Bytes data;              // of a length that it takes
  bool random = false;     // gives something else each time
  Attributes generated;    // templates for generating with it
  Attributes generatedPrivate;
};

/// Pure.
MechanismUse useOf(CK_MECHANISM_TYPE type, std::string_view name);

}  // namespace p11ha::conformance
