#include "cli/names.h"

#include "config/text.h"

namespace p11ha::cli {
namespace {

bool begins(std::string_view name, std::string_view word) {
  return name.size() >= word.size() && config::equalsIgnoringCase(name.substr(0, word.size()), word);
}

}  // namespace

std::vector<std::size_t> meant(std::string_view word, const std::vector<Name>& names) {
  std::vector<std::size_t> begun;
  if (word.empty()) return begun;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (config::equalsIgnoringCase(names[i].name, word) || config::equalsIgnoringCase(names[i].alias, word)) return {i};
    if (begins(names[i].name, word) || begins(names[i].alias, word)) begun.push_back(i);
  }
  return begun;
}

std::string shortest(std::size_t index, const std::vector<Name>& names) {
  const std::string_view name = names[index].name;
  for (std::size_t length = 1; length < name.size(); ++length) {
    if (meant(name.substr(0, length), names) == std::vector<std::size_t>{index})
      return config::lowered(name.substr(0, length));
  }
  return config::lowered(name);
}

}  // namespace p11ha::cli
