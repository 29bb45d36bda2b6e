// Bad and borderline arguments, derived from the roles of a function's arguments.
#pragma once

#include <functional>
#include <optional>

#include "tests/conformance/script/prepared.h"

namespace p11ha::conformance {

/// One change to a call that works.
struct Variation {
  std::string situation;
  std::function<void(Prepared&)> change;
};

/// Handles that no call should take.
struct WrongHandles {
  CK_SESSION_HANDLE closedSession = 0;
  CK_OBJECT_HANDLE destroyed = 0;
  CK_OBJECT_HANDLE data = 0;       // an object, but no key
  CK_OBJECT_HANDLE publicKey = 0;  // a key, but of another class than most calls want
};

/// Every pointer NULL, every length zero, wrong handles, flags and types; and where `exact` tells how long the output
/// is, buffers around that length. Pure.
std::vector<Variation> variations(cryptoki::Fn fn, const WrongHandles& wrong, std::optional<CK_ULONG> exact);

/// Is that parameter a pointer?
bool isPointer(cryptoki::Fn fn, std::size_t word);

/// "data", "second template": how situations name an argument.
std::string argumentName(cryptoki::Fn fn, const cryptoki::Argument& argument);

}  // namespace p11ha::conformance
