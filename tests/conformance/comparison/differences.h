// The one table of differences that are meant to be, and what a run makes of it.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "tests/conformance/comparison/comparer.h"

namespace p11ha::conformance {

/// A row of intended_differences.def. The texts but for reason and test are patterns ("*": anything; "a|b": one of
/// them), and match ignoring nothing.
struct Intended {
  std::string_view setting;    // the run: profile and number of members, "softhsm 3"
  std::string_view function;   // "C_GetTokenInfo"
  std::string_view situation;  // "state, standing, situation" of the call, as describe() has them
  std::string_view field;      // "rv", or an output
  std::string_view expected;
  std::string_view got;
  std::string_view reason;
  std::string_view test;  // which pins what the group answers instead: "Suite.Name"
};

/// All rows, in the order of the file.
std::span<const Intended> intendedDifferences();

/// Does the text match, where "*" in the pattern stands for any text, and "|" is between alternatives?
bool matches(std::string_view pattern, std::string_view text);

/// The first row that means this difference, or nullptr.
const Intended* intended(std::span<const Intended> table, std::string_view setting, const Difference& difference);

/// Is the row meant for runs of that setting?
inline bool appliesTo(const Intended& row, std::string_view setting) { return matches(row.setting, setting); }

}  // namespace p11ha::conformance
