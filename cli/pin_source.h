// A PIN from where nobody else sees it: an environment variable or a file descriptor.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "base/secure_bytes.h"

namespace p11ha::cli {

struct PinSource {
  std::string variable;
  std::optional<int> descriptor;  // goes before the variable
};

/// The first line of what the descriptor gives, or the variable's value. An empty value: the PIN is not at hand. An
/// error names the source and what is wrong with it, never the PIN.
base::Result<std::optional<base::SecureBytes>, std::string> readPin(const PinSource& source);

}  // namespace p11ha::cli
