// hacm: the manager of HA groups.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "base/secure_bytes.h"
#include "cli/candidates.h"
#include "cli/complete.h"
#include "cli/help.h"
#include "cli/man_page.h"
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

// Whoever looks at this process's arguments is not to find PINs: from the first option on, as which words are PINs is
// not known before they are understood, if ever.
void wipeArguments(std::span<char*> arguments) {
  const auto isOption = [](const char* argument) { return argument[0] == '-'; };
  const auto first = std::find_if(arguments.begin(), arguments.end(), isOption);
  std::for_each(first, arguments.end(), [](char* argument) { base::wipe(argument, std::strlen(argument)); });
}

// What is opened later must not be taken for one of these. Nothing can be written to what was closed.
void openStandardDescriptors() {
  int descriptor = 0;
  do {
    descriptor = open("/dev/null", O_RDONLY);
  } while (descriptor >= 0 && descriptor <= STDERR_FILENO);
  if (descriptor >= 0) close(descriptor);
}

// For shells. The line comes by standard input: it may hold a PIN.
void completeLine(cli::Session& session) {
  std::string line;
  std::getline(std::cin, line);
  for (const std::string& word : cli::complete(line, [&](cli::Value kind) { return cli::candidates(session, kind); }))
    session.console().out(word + "\n");
  base::wipe(line.data(), line.size());
}

std::string refused(const std::string& why, const std::string& program) {
  return cli::shown(base::Failure{cli::Trouble{CKR_ARGUMENTS_BAD, why, usage(program)}}, false);
}

int run(cli::Console& console, const std::string& program, std::span<char*> given) {
  std::vector<std::string> all(given.begin(), given.end());
  wipeArguments(given);
  std::span<std::string> words(all);
  const auto options = cli::takeOptions(words, cli::programOptions(), usage(program));
  if (!options) {
    console.out(cli::shown(base::Failure{options.error()}, false));
    return 1;
  }
  if (options->has("help")) return console.out(helpText(program)), 0;
  if (options->has("version")) return console.out(program + " " P11HA_VERSION "\n"), 0;

  if (options->has("manual")) return console.out(cli::manPage(P11HA_VERSION)), 0;

  cli::Session session(config::locate(config::Environment::ofProcess()), program, console);
  if (options->has("complete")) return completeLine(session), 0;
  if (const auto file = options->find("f")) {
    if (!words.empty()) return console.out(refused("-f: its commands are run, and no other beside them", program)), 1;
    std::ifstream script(*file);
    if (script && script.peek() != EOF) return cli::runScript(session, script, *file) ? 0 : 1;
    std::error_code ignored;
    if (script.is_open() && !std::filesystem::is_directory(*file, ignored)) return 0;  // empty
    const std::string why = "-f: expected a file that can be read, found " + config::inQuotes(*file);
    return console.out(refused(why, program)), 1;
  }
  if (!words.empty()) return cli::runWords(session, words) ? 0 : 1;
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
  openStandardDescriptors();
  const std::string program = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "hacm";
  cli::StandardConsole console;
  const int status = run(console, program, std::span(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0));
  return console.lostOutput() ? 1 : status;
}
