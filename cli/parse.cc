#include "cli/parse.h"

#include <algorithm>
#include <utility>

#include "cli/help.h"
#include "cli/names.h"
#include "config/diagnostic.h"
#include "config/text.h"

namespace p11ha::cli {

using base::Failure;
using config::inQuotes;

std::string Arguments::text(std::string_view option) const { return find(option).value_or(std::string()); }

std::optional<std::string> Arguments::find(std::string_view option) const {
  const auto found = given_.find(option);
  if (found == given_.end()) return std::nullopt;
  return found->second.text;
}

const base::SecureBytes* Arguments::pin(std::string_view option) const {
  const auto found = given_.find(option);
  return found == given_.end() ? nullptr : &found->second.pin;
}

void Arguments::add(const Option& option, std::string_view value) {
  Given& given = given_[option.name];
  if (option.value == Value::Pin) {
    given.pin.assign(value.begin(), value.end());
  } else {
    given.text = value;
  }
}

base::Result<std::vector<std::string>, Trouble> split(std::string_view line) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  char quote = 0;
  for (const char c : line) {
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        *word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      if (!word) word.emplace();
    } else if (config::isBlank(c) || c == '\n') {
      if (word) words.push_back(*std::exchange(word, std::nullopt));
    } else if (c == '#' && !word) {
      break;
    } else {
      if (!word) word.emplace();
      *word += c;
    }
  }
  if (quote != 0) {
    return Failure{Trouble{CKR_ARGUMENTS_BAD, std::string("the quote ") + quote + " is not closed",
                           "Put one of the same kind behind what it is to hold."}};
  }
  if (word) words.push_back(*std::move(word));
  return words;
}

namespace {

template <class Described>
std::vector<Name> namesOf(const std::vector<Described>& all) {
  std::vector<Name> names;
  names.reserve(all.size());
  for (const Described& each : all) names.push_back({each.name, each.alias});
  return names;
}

std::vector<Name> namesOf(const std::vector<Option>& all) {
  std::vector<Name> names;
  names.reserve(all.size());
  for (const Option& each : all) names.push_back({each.name});
  return names;
}

bool looksLikeOption(std::string_view word) {
  return word.size() > 1 && word.front() == '-' && (word[1] < '0' || word[1] > '9');
}

std::string_view bareName(std::string_view word) {
  word.remove_prefix(word.starts_with("--") ? 2 : 1);
  return word;
}

// Names are of letters alone. Another word where one is expected may be a PIN.
std::string shownUnlessPin(std::string_view word) {
  constexpr std::size_t kShortestPin = 4;
  const auto isOfName = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'; };
  const bool isShown = word.size() < kShortestPin || std::all_of(word.begin(), word.end(), isOfName);
  return isShown ? " " + inQuotes(word) : std::string();
}

Trouble notOne(std::string_view what, std::string_view word, const std::vector<std::size_t>& found,
               const std::vector<Name>& names, std::string_view mark, const std::string& usage) {
  std::vector<std::string> candidates;
  if (found.empty()) {
    for (const Name& name : names) candidates.push_back(std::string(mark) + std::string(name.name));
    return {CKR_ARGUMENTS_BAD,
            "unknown " + std::string(what) + shownUnlessPin(word) + "; there are " + listed(candidates), usage};
  }
  for (const std::size_t index : found) candidates.push_back(std::string(mark) + std::string(names[index].name));
  return {CKR_ARGUMENTS_BAD, "ambiguous " + std::string(what) + " " + inQuotes(word) + ": " + listed(candidates),
          "Write more of its name."};
}

std::string withBlanks(std::span<const std::string> words) {
  std::string text;
  for (const std::string& word : words) (text += text.empty() ? "" : " ") += word;
  return text;
}

// `hagroup help`, `hagroup -help`.
bool asksForHelp(std::string_view word) {
  return config::equalsIgnoringCase(word, "help") || word == "?" || findOption(word, {{"help"}}) != nullptr;
}

const Command* helpCommand() {
  const auto found =
      std::find_if(commands().begin(), commands().end(), [](const Command& command) { return takesWords(command); });
  return &*found;
}

void wipeWord(std::string& word) {
  base::wipe(word.data(), word.size());
  word.clear();
}

std::optional<Trouble> keepValue(std::string_view value, const Option& option, Arguments& arguments,
                                 const std::string& usage) {
  if (!option.words.empty()) {
    std::vector<Name> names;
    for (const std::string_view each : option.words) names.push_back({each});
    const auto found = meant(value, names);
    if (found.size() != 1) return notOne(option.placeholder, value, found, names, "", usage);
    value = option.words[found.front()];
  }
  arguments.add(option, value);
  return std::nullopt;
}

// The value behind an option, or in its word behind `=`. An option there is no value: what is forgotten is not made up
// for by what follows.
std::optional<Trouble> takeValue(std::span<std::string>& words, const Option& option,
                                 const std::vector<Option>& options, Arguments& arguments, const std::string& usage) {
  const std::size_t equals = words.front().find('=');
  if (equals != std::string::npos && option.value != Value::None) {
    std::string value = words.front().substr(equals + 1);
    auto trouble = keepValue(value, option, arguments, usage);
    wipeWord(value);
    if (option.value == Value::Pin) wipeWord(words.front());
    words = words.subspan(1);
    return trouble;
  }
  words = words.subspan(1);
  if (option.value == Value::None) {
    if (equals != std::string::npos)
      return Trouble{CKR_ARGUMENTS_BAD, "option -" + std::string(option.name) + " takes no value", usage};
    arguments.add(option, {});
    return std::nullopt;
  }
  const bool isMissing = words.empty() || (looksLikeOption(words.front()) && findOption(words.front(), options));
  if (isMissing) {
    return Trouble{
        CKR_ARGUMENTS_BAD,
        "option -" + std::string(option.name) + " expects its value <" + std::string(option.placeholder) + ">", usage};
  }
  auto trouble = keepValue(words.front(), option, arguments, usage);
  if (option.value == Value::Pin) wipeWord(words.front());
  words = words.subspan(1);
  return trouble;
}

// The words of a choice that was made too often, or not at all.
std::optional<Trouble> unmetNeed(const std::vector<Option>& options, const Arguments& arguments,
                                 const std::string& usage) {
  std::vector<std::string> choices;
  std::vector<std::string> chosen;
  bool mustChoose = false;
  for (const Option& option : options) {
    const std::string written = "-" + std::string(option.name);
    if (option.need == Need::Required && !arguments.has(option.name))
      return Trouble{CKR_ARGUMENTS_BAD, "option " + written + " is missing", usage};
    if (option.need != Need::OneOf && option.need != Need::AtMostOne) continue;
    mustChoose = mustChoose || option.need == Need::OneOf;
    choices.push_back(written);
    if (arguments.has(option.name)) chosen.push_back(written);
  }
  if (chosen.size() > 1)
    return Trouble{CKR_ARGUMENTS_BAD, "only one of " + listed(chosen) + " can be given at a time", usage};
  if (mustChoose && chosen.empty())
    return Trouble{CKR_ARGUMENTS_BAD, "one of " + listed(choices) + " is missing", usage};
  return std::nullopt;
}

}  // namespace

const Option* findOption(std::string_view word, const std::vector<Option>& options) {
  if (!looksLikeOption(word)) return nullptr;
  const auto found = meant(bareName(word), namesOf(options));
  return found.size() == 1 ? &options[found.front()] : nullptr;
}

base::Result<Arguments, Trouble> takeOptions(std::span<std::string>& words, const std::vector<Option>& options,
                                             const std::string& usage) {
  Arguments arguments;
  while (!words.empty() && looksLikeOption(words.front())) {
    const std::string_view whole = words.front();
    const std::string_view word = whole.substr(0, whole.find('='));
    const auto names = namesOf(options);
    const auto found = meant(bareName(word), names);
    if (found.size() != 1) return Failure{notOne("option", word, found, names, "-", usage)};
    const Option& option = options[found.front()];
    if (arguments.has(option.name))
      return Failure{Trouble{CKR_ARGUMENTS_BAD, "option -" + std::string(option.name) + " is given twice", usage}};
    if (auto trouble = takeValue(words, option, options, arguments, usage)) return Failure{*std::move(trouble)};
    // What is left of a PIN with blanks in it must not be shown.
    if (option.value == Value::Pin && !words.empty() && !looksLikeOption(words.front())) {
      return Failure{Trouble{CKR_ARGUMENTS_BAD, "one word is expected behind -" + std::string(option.name),
                             "Put a PIN that has blanks in quotes."}};
    }
  }
  return arguments;
}

base::Result<Parsed, Trouble> parse(std::span<std::string> words) {
  const std::string overview = "See `help`.";
  // A name at the top is a family's, or that of a command without one.
  std::vector<Name> top = namesOf(families());
  std::vector<const Command*> alone(top.size(), nullptr);
  for (const Command& command : commands()) {
    if (!command.family.empty()) continue;
    top.push_back({command.name, command.alias});
    alone.push_back(&command);
  }
  if (words.empty()) return Failure{Trouble{CKR_ARGUMENTS_BAD, "a command is missing", overview}};
  const auto first = meant(words.front(), top);
  if (first.size() != 1) return Failure{notOne("command", words.front(), first, top, "", overview)};
  Parsed parsed{alone[first.front()], {}};
  words = words.subspan(1);
  if (parsed.command == nullptr) {
    const std::string_view family = families()[first.front()].name;
    std::vector<const Command*> members;
    std::vector<Name> names;
    for (const Command& command : commands()) {
      if (command.family != family) continue;
      members.push_back(&command);
      names.push_back({command.name, command.alias});
    }
    const std::string usage = "See `help " + std::string(family) + "`.";
    if (words.empty()) {
      std::vector<std::string_view> all;
      all.reserve(names.size());
      for (const Name& name : names) all.push_back(name.name);
      return Failure{
          Trouble{CKR_ARGUMENTS_BAD, "which command of " + std::string(family) + "? There are " + listed(all), usage}};
    }
    if (asksForHelp(words.front())) {
      parsed.command = helpCommand();
      parsed.arguments.add(parsed.command->options.front(), std::string(family) + " " + withBlanks(words.subspan(1)));
      return parsed;
    }
    const auto second = meant(words.front(), names);
    if (second.size() != 1)
      return Failure{notOne(std::string(family) + " command", words.front(), second, names, "", usage)};
    parsed.command = members[second.front()];
    words = words.subspan(1);
  }
  const std::string usage = "Usage: " + usageOf(*parsed.command);
  const std::vector<Option> options = optionsOf(*parsed.command);
  if (takesWords(*parsed.command)) {
    parsed.arguments.add(parsed.command->options.front(), withBlanks(words));
    return parsed;
  }
  auto arguments = takeOptions(words, options, usage);
  if (!arguments) return Failure{arguments.error()};
  if (!words.empty()) {
    // Where there are PINs, any word may be one.
    const bool takesPins =
        std::any_of(options.begin(), options.end(), [](const Option& option) { return option.value == Value::Pin; });
    const std::string shown = takesPins ? std::string() : shownUnlessPin(words.front());
    const std::string what = shown.empty() ? "a word that was not expected" : "unexpected" + shown;
    return Failure{Trouble{CKR_ARGUMENTS_BAD, what + ": options begin with a hyphen", usage}};
  }
  parsed.arguments = *std::move(arguments);
  if (parsed.arguments.has("help")) return parsed;
  if (auto trouble = unmetNeed(options, parsed.arguments, usage)) return Failure{*std::move(trouble)};
  return parsed;
}

}  // namespace p11ha::cli
