// Everything that C_Initialize may be given, and what PKCS #11 v3.0, 5.4 has it answer.
#pragma once

#include <string>
#include <vector>

#include "cryptoki/pkcs11.h"

namespace p11ha::tests {

struct InitializeCase {
  std::string name;
  cryptoki::InitializeArgs arguments{};
  CK_RV answer = CKR_OK;
};

/// Every choice of callbacks, flags and pReserved. The callbacks must never be called: p11ha locks for itself.
std::vector<InitializeCase> everyInitializeCase();

}  // namespace p11ha::tests
