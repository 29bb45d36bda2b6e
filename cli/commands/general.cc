// Commands that are about the manager itself.
#include "cli/commands/subjects.h"
#include "cli/help.h"
#include "cli/session.h"

namespace p11ha::cli {
namespace {

Answer leave(Session& session, const Arguments&) {
  session.over = true;
  return Reply{};
}

}  // namespace

std::vector<Command> generalCommands() {
  return {
      {"", "help", "?", "Says what commands there are, and all of one", {{"", Value::Text, "COMMAND"}}, help},
      {"", "exit", "quit", "Ends the manager", {}, leave},
  };
}

}  // namespace p11ha::cli
