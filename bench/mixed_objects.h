// Objects as an application may keep them, by the thousand.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "bench/token.h"

namespace p11ha::bench {

/// What the label of each begins with; a number follows, so that no two are called alike.
inline constexpr std::string_view kMixedLabel = "mixed ";
/// So many make a set: two AES keys that may not leave their token and two that may, a P-256 pair of either sort, a
/// certificate and a private data object.
inline constexpr std::size_t kMixedSet = 10;

/// Makes so many sets on the token, as any application would: keys are generated there. Empty, or what went wrong.
std::string makeMixedObjects(Token& token, std::size_t sets);

}  // namespace p11ha::bench
