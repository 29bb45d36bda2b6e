// What an application does all day, single- and multi-part, each output compared with what it must be.
#pragma once

#include <random>
#include <span>
#include <string_view>

#include "testbed/load/keys.h"

namespace p11ha::testbed {

/// One thread's session and what it draws its inputs from.
struct LoadThread {
  const cryptoki::FunctionList& functions;
  const LoadKeys& keys;
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  std::mt19937_64 random;

  Bytes data(std::size_t atMost);
};

/// The rv of the first call that did not answer as it must; else CKR_OK, and whether the output was right.
struct LoadOutcome {
  CK_RV rv = CKR_OK;
  bool right = true;
};

struct LoadOperation {
  std::string_view name;
  LoadOutcome (*run)(LoadThread& thread);
};
std::span<const LoadOperation> loadOperations();

}  // namespace p11ha::testbed
