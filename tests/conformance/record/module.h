// A PKCS#11 module as a client loads it.
#pragma once

#include <string>

#include "cryptoki/call.h"

namespace p11ha::conformance {

/// Its entry points: from its v3.0 interface if it has one, else its function list, and then what functions of v3.0 it
/// exports by name. Stays loaded till the process ends. One thread. Throws std::runtime_error when it cannot be loaded.
class Module {
 public:
  explicit Module(const std::string& path);

  bool has(cryptoki::Fn fn) const;
  CK_RV call(const cryptoki::Call& call) const { return cryptoki::invoke(functions_, call); }

 private:
  cryptoki::FunctionList functions_{};
};

}  // namespace p11ha::conformance
