// What copying objects from one token to another costs without p11ha.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"
#include "bench/token.h"

namespace p11ha::bench {

struct BareCopy {
  std::size_t objects = 0;
  std::chrono::nanoseconds time{0};  // of the calls that copy, and of nothing else
};

/// Copies each of the mixed objects (mixed_objects.h), one after the other: a key by one C_WrapKey and one C_UnwrapKey,
/// with a template that is there already; anything else by one C_GetAttributeValue and one C_CreateObject. The wrapping
/// key, which is to be trusted as some of the keys want that, is put on `from` by its Security Officer, and taken away
/// again; on `to` it is a session object. Needs both tokens to itself: nobody else may be logged in. The error is ready
/// to be shown.
base::Result<BareCopy, std::string> copyBare(Token& from, Token& to, const std::string& soPin,
                                             const std::string& userPin);

}  // namespace p11ha::bench
