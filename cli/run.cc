#include "cli/run.h"

#include <algorithm>

#include "cli/help.h"
#include "cli/parse.h"

namespace p11ha::cli {
namespace {

// Of a command that was not understood only its words tell.
bool asksForJson(std::span<const std::string> words) {
  return std::any_of(words.begin(), words.end(),
                     [](const std::string& word) { return findOption(word, {{"json"}}) != nullptr; });
}

}  // namespace

bool runWords(Session& session, std::span<std::string> words) {
  bool asJson = asksForJson(words);
  const auto parsed = parse(words);
  if (!parsed) {
    for (std::string& word : words) base::wipe(word.data(), word.size());  // who knows what they were
    session.console().out(shown(base::Failure{parsed.error()}, asJson));
    return false;
  }
  const Command& command = *parsed->command;
  const bool explains = parsed->arguments.has("help");
  asJson = parsed->arguments.has("json");
  const Answer answer = explains ? Answer(Reply{describe(command)}) : command.run(session, parsed->arguments);
  if (!session.over) session.console().out(shown(answer, asJson));
  return answer.ok();
}

bool runLine(Session& session, std::string_view line) {
  auto words = split(line);
  if (words && words->empty()) return true;
  if (!words) session.console().out(shown(base::Failure{words.error()}, false));
  const bool well = words && runWords(session, *words);
  if (!session.over) session.console().out("\n");
  return well;
}

bool runScript(Session& session, std::istream& lines, const std::string& name) {
  std::string line;
  for (std::size_t number = 1; !session.over && std::getline(lines, line); ++number) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    std::string_view text = line;
    if (number == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    const bool well = runLine(session, text);
    base::wipe(line.data(), line.size());
    if (well) continue;
    session.console().note(session.program() + ": " + name + ":" + std::to_string(number) +
                           ": this command failed; those after it were not run\n");
    return false;
  }
  return true;
}

}  // namespace p11ha::cli
