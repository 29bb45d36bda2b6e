// Names that may be shortened as long as they stay unambiguous.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace p11ha::cli {

/// A name in its full length, and another one for the same, or nothing.
struct Name {
  std::string_view name;
  std::string_view alias{};
};

/// The indices of those that `word` may mean, regardless of case: one, if it is a name or an alias in full; else all
/// that begin with it. Pure; any thread, as what follows.
std::vector<std::size_t> meant(std::string_view word, const std::vector<Name>& names);

/// The shortest beginning of the name that means it alone.
std::string shortest(std::size_t index, const std::vector<Name>& names);

}  // namespace p11ha::cli
