// hacm: the manager of HA groups.
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "base/secure_bytes.h"
#include "cli/help.h"
#include "cli/parse.h"
#include "cli/run.h"
#include "config/locate.h"

namespace {

using namespace p11ha;

std::string usage(const std::string& program) {
  return "usage: " + program + " " + cli::usageOf(cli::programOptions()) + " [COMMAND]";
}

std::string helpText(const std::string& program) {
  std::string text = usage(program) +
                     "\n\nManages HA groups. Without a command: reads commands from the terminal, or " +
                     "from standard input where that is none.\n\n";
  for (const cli::Option& option : cli::programOptions())
    text +=
        "  -" + std::string(option.name) + std::string(10 - option.name.size(), ' ') + std::string(option.help) + "\n";
  return text + "\n" + cli::overview({});
}

// PINs were wiped among the words; whoever looks at this process's arguments is not to find them either.
void wipeArguments(std::span<char*> arguments, std::span<const std::string> words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].empty()) base::wipe(arguments[i], std::strlen(arguments[i]));
  }
}

int run(const std::string& program, std::span<char*> given) {
  std::vector<std::string> all(given.begin(), given.end());
  std::span<std::string> words(all);
  const auto options = cli::takeOptions(words, cli::programOptions(), usage(program));
  if (!options) {
    std::fputs(cli::shown(base::Failure{options.error()}, false).c_str(), stdout);
    return 1;
  }
  if (options->has("help")) return std::fputs(helpText(program).c_str(), stdout) < 0 ? 1 : 0;
  if (options->has("version")) return std::printf("%s %s\n", program.c_str(), P11HA_VERSION) < 0 ? 1 : 0;

  cli::StandardConsole console;
  cli::Session session(config::locate(config::Environment::ofProcess()), program, console);
  if (!words.empty()) {
    std::vector<std::string> command(words.begin(), words.end());
    const bool well = cli::runWords(session, command);
    wipeArguments(given.last(command.size()), command);
    return well ? 0 : 1;
  }
  if (const auto file = options->find("f")) {
    std::ifstream script(*file);
    if (script) return cli::runScript(session, script, *file) ? 0 : 1;
    const std::string why = "-f: expected a file that can be read, found " + config::inQuotes(*file);
    console.out(cli::shown(base::Failure{cli::Trouble{CKR_ARGUMENTS_BAD, why, usage(program)}}, false));
    return 1;
  }
  if (isatty(STDIN_FILENO) == 0) return cli::runScript(session, std::cin, "standard input") ? 0 : 1;
  if (!options->has("q"))
    console.out(program + " (p11ha " P11HA_VERSION "). `help` lists the commands, `exit` ends.\n\n");
  return cli::runInteractively(session) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  // It knows PINs.
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  const std::string program = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "hacm";
  return run(program, std::span(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0));
}
