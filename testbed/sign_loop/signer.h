// An application that signs: one session, one key, through whatever module it is given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "cryptoki/call.h"

namespace p11ha::testbed {

/// One thread.
class Signer {
 public:
  struct Settings {
    std::string module;
    std::string tokenLabel;
    std::string keyLabel;
    std::string pin;        // empty: the token has a pad for it
    bool generate = false;  // the key, where there is none
  };

  /// Loads the module, logs in to the token of that label and finds the private key. The error names the step.
  static base::Result<Signer, std::string> open(Settings settings);

  /// ECDSA over SHA-256, both by the module: r and s. A failure is the application's to count: nothing is tried again.
  base::Result<std::vector<std::uint8_t>, CK_RV> sign(std::string message);

  void close();

 private:
  explicit Signer(const CK_FUNCTION_LIST* functions) : f_(functions) {}
  std::string openToken(const std::string& label);
  std::string openKey(const std::string& label, bool generate);
  CK_RV generateKey(std::string label);

  const CK_FUNCTION_LIST* f_;
  CK_SESSION_HANDLE session_ = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE key_ = CK_INVALID_HANDLE;
};

}  // namespace p11ha::testbed
