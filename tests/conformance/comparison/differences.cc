#include "tests/conformance/comparison/differences.h"

namespace p11ha::conformance {
namespace {

constexpr Intended kTable[] = {
#define INTENDED(...) {__VA_ARGS__},
#include "tests/conformance/comparison/intended_differences.def"
};

}  // namespace

std::span<const Intended> intendedDifferences() { return kTable; }

bool matches(std::string_view pattern, std::string_view text) {
  if (const auto bar = pattern.find('|'); bar != std::string_view::npos) {
    return matches(pattern.substr(0, bar), text) || matches(pattern.substr(bar + 1), text);
  }
  // Greedy with one point to come back to: the last star.
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

const Intended* intended(std::span<const Intended> table, std::string_view setting, const Difference& difference) {
  const std::string situation =
      difference.call.state + ", " + difference.call.standing + ", " + difference.call.situation;
  for (const Intended& row : table) {
    if (appliesTo(row, setting) && matches(row.function, difference.call.function) &&
        matches(row.situation, situation) && matches(row.field, difference.field) &&
        matches(row.expected, difference.expected) && matches(row.got, difference.got)) {
      return &row;
    }
  }
  return nullptr;
}

}  // namespace p11ha::conformance
