#include "cli/complete.h"

#include <algorithm>

#include "cli/names.h"
#include "cli/parse.h"
#include "config/text.h"

namespace p11ha::cli {
namespace {

using Words = std::vector<std::string>;

bool canBecome(std::string_view word, std::string_view candidate) {
  return candidate.size() >= word.size() && config::equalsIgnoringCase(candidate.substr(0, word.size()), word);
}

// The family or lone command that the first word is, by index in its table.
const Family* familyOf(const std::string& word) {
  std::vector<Name> names;
  for (const Family& each : families()) names.push_back({each.name, each.alias});
  const auto found = meant(word, names);
  return found.size() == 1 ? &families()[found.front()] : nullptr;
}

const Command* commandOf(const Words& words, const Family& family) {
  std::vector<Name> names;
  std::vector<const Command*> members;
  for (const Command& command : commands()) {
    if (command.family != family.name) continue;
    names.push_back({command.name, command.alias});
    members.push_back(&command);
  }
  const auto found = meant(words[1], names);
  return found.size() == 1 ? members[found.front()] : nullptr;
}

Words namesAtTop() {
  Words names;
  for (const Family& family : families()) names.emplace_back(family.name);
  for (const Command& command : commands()) {
    if (command.family.empty()) names.emplace_back(command.name);
  }
  return names;
}

Words namesWithin(const Family& family) {
  Words names;
  for (const Command& command : commands()) {
    if (command.family == family.name) names.emplace_back(command.name);
  }
  return names;
}

// Options that are not there yet, or the values of the one before.
Words forOptions(const Words& words, const Command& command, const Values& values) {
  const std::vector<Option> options = optionsOf(command);
  const Option* const last = findOption(words.back(), options);
  if (last != nullptr && last->value != Value::None) {
    if (!last->words.empty()) return {last->words.begin(), last->words.end()};
    return values(last->value);
  }
  Words names;
  for (const Option& option : options) {
    const bool isGiven = std::any_of(words.begin(), words.end(),
                                     [&](const std::string& word) { return findOption(word, options) == &option; });
    if (!isGiven && !option.name.empty()) names.push_back("-" + std::string(option.name));
  }
  return names;
}

std::string quotedIfNeeded(const std::string& text) {
  return text.find(' ') == std::string::npos ? text : "\"" + text + "\"";
}

}  // namespace

Words complete(std::string_view line, const Values& values) {
  const bool isNew = line.empty() || config::isBlank(line.back());
  auto words = split(line);
  // What is being quoted is not completed.
  if (!words) return {};
  std::string word;
  if (!isNew && !words->empty()) {
    word = words->back();
    words->pop_back();
  }
  Words candidates;
  const bool asksForHelp = !words->empty() && config::equalsIgnoringCase(words->front(), "help");
  if (asksForHelp) words->erase(words->begin());
  if (words->empty()) {
    candidates = namesAtTop();
  } else if (const Family* const family = familyOf(words->front()); family != nullptr) {
    if (words->size() == 1) {
      candidates = namesWithin(*family);
    } else if (const Command* const command = commandOf(*words, *family); command != nullptr && !asksForHelp) {
      candidates = forOptions(*words, *command, values);
    }
  }
  Words result;
  for (const std::string& candidate : candidates) {
    if (canBecome(word, candidate)) result.push_back(quotedIfNeeded(candidate));
  }
  return result;
}

}  // namespace p11ha::cli
