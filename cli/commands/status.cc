// hagroup status: what running applications say of their groups.
#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/pause.h"
#include "cli/status_text.h"
#include "compose/status_reader.h"

namespace p11ha::cli {
namespace {

using base::Failure;
using Reports = std::vector<compose::ProcessReport>;

constexpr std::chrono::seconds kEvery{1};
constexpr const char* kClear = "\033[H\033[2J";

void watch(Session& session, const std::function<Reports()>& look) {
  const Interruptible interruptible;
  const bool onTerminal = session.console().isTerminal();
  Reports before;
  do {
    const Reports now = look();
    session.console().out((onTerminal ? kClear : "\n") + statusTable(now, {onTerminal, &before}));
    before = now;
  } while (interruptible.pause(kEvery));
}

// Where applications are to write what is shown here.
Answer setStatusPath(Session& session, const std::string& given) {
  const auto path = existingDirectory(given);
  if (!path) return Failure{path.error()};
  if (const auto changed = setAlone(session, "path", "p11ha", "StatusPath", *path); !changed)
    return Failure{changed.error()};
  return Reply{sentence("Status path successfully set to " + *path + ".") +
               sentence("Applications that start from now on report there.")};
}

Answer status(Session& session, const Arguments& arguments) {
  if (const auto path = arguments.find("path")) return setStatusPath(session, *path);
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const compose::StatusReader reader(statusDirectory(*settings));
  std::optional<std::string> serial;
  if (const auto name = arguments.find("group")) {
    const auto group = findGroup(*settings, *name);
    if (!group) return Failure{group.error()};
    serial = group->serial;
  }
  const auto look = [&] { return serial ? onlyGroup(reader.read(), *serial) : reader.read(); };
  if (arguments.has("watch")) {
    watch(session, look);
    return Reply{};
  }
  const Reports reports = look();
  return Reply{statusTable(reports, {session.console().isTerminal(), nullptr}), statusJson(reports)};
}

}  // namespace

std::vector<Command> statusCommands() {
  return {{"hagroup",
           "status",
           "",
           "Says how the members do in the applications that run",
           {groupOption(Need::Optional),
            {"path", Value::Path, "directory", Need::AtMostOne, "Where applications report: an existing directory"},
            {"watch", Value::None, "", Need::AtMostOne, "Says it again every second, until Enter or ^C"},
            {"json", Value::None, "", Need::AtMostOne, "One JSON document instead of the text"}},
           status}};
}

}  // namespace p11ha::cli
