// What listed objects cost in memory.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "bench/token.h"

namespace p11ha::bench {

struct Memory {
  std::size_t objects = 0;    // found, on all tokens together
  std::size_t allocated = 0;  // bytes that this process has from malloc, more than before it loaded the module
  std::size_t resident = 0;   // likewise of its pages
};

/// Loads the tokens' module, logs in to each and has all objects listed; once in a process. The error is ready to be
/// shown.
base::Result<Memory, std::string> measureMemory(std::span<const Token::Spec> specs);

}  // namespace p11ha::bench
