// libedit keeps one line editor a process; what its callbacks need is here for as long as it runs.
#include <editline/readline.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "cli/complete.h"
#include "cli/parse.h"
#include "cli/run.h"
#include "cli/tokens.h"

namespace p11ha::cli {
namespace {

Session* editing = nullptr;
std::vector<std::string> offered;

// Says nothing into a line that is being edited.
class SilentConsole final : public Console {
 public:
  void out(std::string_view) override {}
  void note(std::string_view) override {}
  base::Result<std::string, std::string> ask(const std::string&) override { return base::Failure{std::string()}; }
  base::Result<base::SecureBytes, std::string> askSecret(const std::string&) override {
    return base::Failure{std::string()};
  }
  bool isTerminal() const override { return false; }
  bool showsProgress() const override { return false; }
};

// Nobody who presses a key waits for a server: of tokens only those of modules are looked at.
std::vector<std::string> serialsOf(config::Settings settings) {
  std::vector<std::string> serials;
  for (const config::Group& group : settings.groups)
    serials.insert(serials.end(), group.members.begin(), group.members.end());
  settings.groups.clear();
  settings.client.servers.clear();
  SilentConsole silent;
  const Tokens tokens(settings, silent);
  for (const Token& token : tokens.all()) {
    if (std::find(serials.begin(), serials.end(), token.serial()) == serials.end()) serials.push_back(token.serial());
  }
  return serials;
}

std::vector<std::string> valuesOf(Value kind) {
  if (kind != Value::Group && kind != Value::Serial) return {};
  const auto settings = editing->settings();
  if (!settings) return {};
  if (kind == Value::Serial) return serialsOf(*settings);
  std::vector<std::string> labels;
  for (const config::Group& group : settings->groups) labels.push_back(group.label);
  return labels;
}

char* offerNext(const char*, int state) {
  const auto index = static_cast<std::size_t>(state);
  return index < offered.size() ? strdup(offered[index].c_str()) : nullptr;
}

char** offer(const char* word, int, int end) {
  rl_attempted_completion_over = 1;  // no names of files
  offered = complete(std::string_view(rl_line_buffer).substr(0, static_cast<std::size_t>(end)), valuesOf);
  return rl_completion_matches(word, offerNext);
}

bool mayBeginPin(std::string_view word) {
  return std::any_of(commands().begin(), commands().end(), [&](const Command& command) {
    return std::any_of(command.options.begin(), command.options.end(), [&](const Option& option) {
      return option.value == Value::Pin && findOption(word, {option}) != nullptr;
    });
  });
}

// A line that gives a PIN is not kept, nor one of which that cannot be told.
bool mayHoldPin(std::string_view line) {
  auto words = split(line);
  if (!words) return true;
  const std::vector<std::string> before = *words;
  if (parse(*words)) return *words != before;
  return std::any_of(before.begin(), before.end(), mayBeginPin);
}

}  // namespace

bool runInteractively(Session& session) {
  editing = &session;
  const std::string prompt = session.program() + ":> ";
  rl_readline_name = session.program().c_str();
  rl_attempted_completion_function = offer;
  using_history();
  // What is wrong with the configuration is noted now, not into a line.
  if (const auto settings = session.settings(); !settings) session.console().note(settings.error().what + "\n");
  while (!session.over) {
    const std::unique_ptr<char, decltype(&std::free)> line(readline(prompt.c_str()), &std::free);
    if (!line) {
      session.console().out("\n");
      break;
    }
    const std::string_view text(line.get());
    if (!text.empty() && !mayHoldPin(text)) add_history(line.get());
    runLine(session, text);
    base::wipe(line.get(), text.size());
  }
  clear_history();
  editing = nullptr;
  return true;
}

}  // namespace p11ha::cli
