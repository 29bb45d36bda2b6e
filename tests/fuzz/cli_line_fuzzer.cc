// Any bytes as a line for the manager: it is split, parsed and completed, and a PIN in it is never shown.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/complete.h"
#include "cli/parse.h"

namespace {

using namespace p11ha::cli;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  complete(line, [](Value) { return std::vector<std::string>{"a label", "4711"}; });
  auto words = split(line);
  if (!words) return 0;
  const std::vector<std::string> before = *words;
  const auto parsed = parse(*words);
  require(words->size() == before.size(), "words stay where they are");
  for (std::size_t i = 0; i < before.size(); ++i)
    require((*words)[i] == before[i] || (*words)[i].empty(), "a word is kept, or wiped");
  if (parsed) require(parsed->command != nullptr, "a command is what was parsed");
  return 0;
}
