#include "cli/help.h"

#include <algorithm>

#include "cli/names.h"

namespace p11ha::cli {
namespace {

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size() + 1), ' ');
  return text;
}

}  // namespace

std::string writtenOption(const Option& option) {
  std::string text = "-" + std::string(option.name);
  if (option.value == Value::None) return text;
  if (option.words.empty()) return text + " <" + std::string(option.placeholder) + ">";
  std::string words;
  for (const std::string_view word : option.words) (words += words.empty() ? "" : "|") += word;
  return text + " <" + words + ">";
}

namespace {

// The options that are chosen among, with the first of them.
std::string choice(const std::vector<Option>& options, Need need) {
  std::string text;
  for (const Option& option : options) {
    if (option.need == need) (text += text.empty() ? "" : " | ") += writtenOption(option);
  }
  return need == Need::OneOf ? "{" + text + "}" : "[" + text + "]";
}

}  // namespace

std::string Command::fullName() const {
  return family.empty() ? std::string(name) : std::string(family) + " " + std::string(name);
}

bool takesWords(const Command& command) { return !command.options.empty() && command.options.front().name.empty(); }

std::string usageOf(const std::vector<Option>& options) {
  std::string text;
  bool chosen = false;
  for (const Option& option : options) {
    if (option.name == "help") continue;
    const bool isChoice = option.need == Need::OneOf || option.need == Need::AtMostOne;
    if (isChoice && chosen) continue;
    text += " ";
    if (option.name.empty()) {
      text += "[" + std::string(option.placeholder) + "]";
    } else if (isChoice) {
      text += choice(options, option.need);
    } else {
      text += option.need == Need::Required ? writtenOption(option) : "[" + writtenOption(option) + "]";
    }
    chosen = chosen || isChoice;
  }
  return text.empty() ? text : text.substr(1);
}

std::string usageOf(const Command& command) {
  const std::string options = usageOf(command.options);
  return command.fullName() + (options.empty() ? "" : " " + options);
}

std::string describe(const Command& command) {
  std::string text =
      command.fullName() + "\n\n" + sentence(std::string(command.help)) + "\nSyntax\n\n" + sentence(usageOf(command));
  if (command.options.empty() || takesWords(command)) return text;
  text += "\nOptions (shortcut)\n\n";
  const std::vector<Option> options = optionsOf(command);
  std::vector<Name> names;
  std::size_t width = 0;
  for (const Option& option : options) {
    names.push_back({option.name});
    width = std::max(width, writtenOption(option).size() + 2);
  }
  for (std::size_t i = 0; i < options.size(); ++i)
    text += sentence(padded(writtenOption(options[i]), width) + padded("-" + shortest(i, names), 8) +
                     std::string(options[i].help));
  return text;
}

std::string overview(std::string_view family) {
  std::string text;
  for (const Command& command : commands()) {
    if (!family.empty() && command.family != family) continue;
    text +=
        sentence(padded(command.fullName(), 26) + padded(std::string(command.alias), 6) + std::string(command.help));
  }
  return text;
}

Answer help(Session&, const Arguments& arguments) {
  auto words = split(arguments.text(""));
  if (!words) return base::Failure{words.error()};
  if (words->empty())
    return Reply{overview({}) + "\n" +
                 sentence("Names and options may be shortened while they stay unambiguous; case does not matter.") +
                 sentence("`help COMMAND` says all of a command.")};
  std::vector<Name> names;
  for (const Family& each : families()) names.push_back({each.name, each.alias});
  const auto found = meant(words->front(), names);
  if (words->size() == 1 && found.size() == 1) return Reply{overview(families()[found.front()].name)};
  // The command is looked for as if it were to be run.
  words->emplace_back("-help");
  const auto parsed = parse(*words);
  if (!parsed) return base::Failure{parsed.error()};
  return Reply{describe(*parsed->command)};
}

}  // namespace p11ha::cli
