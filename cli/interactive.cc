// libedit keeps one line editor a process; what its callbacks need is here for as long as it runs.
#include <editline/readline.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <memory>

#include "cli/candidates.h"
#include "cli/complete.h"
#include "cli/parse.h"
#include "cli/pause.h"
#include "cli/run.h"
#include "config/text.h"

namespace p11ha::cli {
namespace {

Session* editing = nullptr;
std::vector<std::string> offered;

char* offerNext(const char*, int state) {
  const auto index = static_cast<std::size_t>(state);
  return index < offered.size() ? strdup(offered[index].c_str()) : nullptr;
}

char** offer(const char* word, int, int end) {
  rl_attempted_completion_over = 1;  // no names of files
  offered = complete(std::string_view(rl_line_buffer).substr(0, static_cast<std::size_t>(end)),
                     [](Value kind) { return candidates(*editing, kind); });
  return rl_completion_matches(word, offerNext);
}

bool mayBeginPin(std::string_view word) {
  word = word.substr(0, word.find('='));
  return std::any_of(commands().begin(), commands().end(), [&](const Command& command) {
    return std::any_of(command.options.begin(), command.options.end(), [&](const Option& option) {
      return option.value == Value::Pin && findOption(word, {option}) != nullptr;
    });
  });
}

bool mayNameCommand(std::string_view word) {
  const auto begins = [&](std::string_view name) {
    return config::equalsIgnoringCase(name.substr(0, word.size()), word);
  };
  return std::any_of(families().begin(), families().end(),
                     [&](const Family& family) { return begins(family.name) || begins(family.alias); }) ||
         std::any_of(commands().begin(), commands().end(),
                     [&](const Command& command) { return begins(command.name) || begins(command.alias); });
}

// A line that gives a PIN is not kept, nor one of which that cannot be told.
bool mayHoldPin(std::string_view line) {
  auto words = split(line);
  if (!words) return true;
  const std::vector<std::string> before = *words;
  if (parse(*words)) return *words != before;
  // One that stands alone, or behind what is no option.
  for (std::size_t i = 0; i < before.size(); ++i) {
    const bool isOption = before[i].starts_with('-');
    const bool isName = i < 2 && mayNameCommand(before[i]);
    if (!isOption && !isName && (i == 0 || !before[i - 1].starts_with('-'))) return true;
  }
  return std::any_of(before.begin(), before.end(), mayBeginPin);
}

// As libedit's own, which goes on after an interrupt: here that ends the line.
int readCharacter(FILE*) {
  std::mbstate_t state{};
  for (char byte = 0;;) {
    if (!awaitInput(STDIN_FILENO) || read(STDIN_FILENO, &byte, 1) != 1) return EOF;
    wchar_t character = 0;
    const std::size_t length = std::mbrtowc(&character, &byte, 1, &state);
    if (length == static_cast<std::size_t>(-2)) continue;
    return length == static_cast<std::size_t>(-1) ? static_cast<unsigned char>(byte) : static_cast<int>(character);
  }
}

// ^C drops the line that is being edited.
char* readUnlessDropped(const std::string& prompt, bool& isDropped) {
  const Interruptible interruptible;
  char* const line = readline(prompt.c_str());
  isDropped = line == nullptr && Interruptible::happened();
  return line;
}

}  // namespace

bool runInteractively(Session& session) {
  editing = &session;
  const std::string prompt = session.program() + ":> ";
  rl_readline_name = session.program().c_str();
  rl_attempted_completion_function = offer;
  rl_getc_function = readCharacter;
  using_history();
  // What is wrong with the configuration is noted now, not into a line.
  if (const auto settings = session.settings(); !settings) session.console().note(settings.error().what + "\n");
  bool well = true;
  while (!session.over) {
    bool isDropped = false;
    const std::unique_ptr<char, decltype(&std::free)> line(readUnlessDropped(prompt, isDropped), &std::free);
    if (!line) session.console().out("\n");
    if (isDropped) continue;
    if (!line) break;
    const std::string_view text(line.get());
    if (!text.empty() && !mayHoldPin(text)) add_history(line.get());
    const bool isBlank = text.find_first_not_of(" \t") == std::string_view::npos;
    const bool done = [&] {
      const Interruptible interruptible(Interruptible::Second::Ends);
      return runLine(session, text);
    }();
    if (!isBlank && !session.over) well = done;  // `exit` is with what the last command came to
    base::wipe(line.get(), text.size());
  }
  clear_history();
  editing = nullptr;
  return well;
}

}  // namespace p11ha::cli
