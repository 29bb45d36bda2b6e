// hagroup halog: the HA log's settings (reference, "Configuring HA Logging").
#include <chrono>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/log_tail.h"
#include "cli/pause.h"
#include "halog/escape.h"

namespace p11ha::cli {
namespace {

using base::Failure;

constexpr const char* kFile = "/haErrorLog.txt";
constexpr std::size_t kLabels = 16;  // up to the colon

Answer setPath(Session& session, const std::string& given) {
  const auto path = existingDirectory(given);
  if (!path) return Failure{path.error()};
  if (const auto changed = setAlone(session, "path", "HAConfiguration", "haLogPath", *path); !changed)
    return Failure{changed.error()};
  return Reply{sentence("HA Log path successfully set to " + *path + ".")};
}

Answer setLength(Session& session, const std::string& length) {
  const auto changed = setAlone(session, "maxlength", "HAConfiguration", "logLen", length);
  if (!changed) return Failure{changed.error()};
  return Reply{
      sentence("HA Log maximum file size was successfully set to " + std::to_string(changed->ha.logLength) + ".")};
}

Answer setStatus(Session& session, bool enabled) {
  const std::string status = enabled ? "enabled" : "disabled";
  const auto changed = setAlone(session, status, "HAConfiguration", "haLogStatus", status);
  if (!changed) return Failure{changed.error()};
  if (enabled && !isDirectory(changed->ha.logPath))
    session.console().note("Nothing is logged until -path names an existing directory.\n");
  return Reply{sentence("HA Log was successfully " + status + ".")};
}

Answer show(Session& session) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const config::HaConfiguration& ha = settings->ha;
  const std::string status = ha.logStatus == config::LogStatus::Enabled ? "enabled" : "disabled";
  const std::string file = ha.logPath.empty() ? "<none>" : ha.logPath + kFile;
  Reply reply;
  reply.text = row("HA Log:", status, kLabels, " ") + row("Log File:", file, kLabels, " ") +
               row("Max File Length:", std::to_string(ha.logLength) + " bytes", kLabels, " ");
  reply.json = {{"status", status},
                {"file", ha.logPath.empty() ? Json() : Json(file)},
                {"maxFileLength", ha.logLength},
                {"directoryExists", isDirectory(ha.logPath)}};
  return reply;
}

// Whoever may write the log may have written anything.
std::string harmless(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    halog::appendHarmless(text, line);
    text += '\n';
  }
  return text;
}

void follow(Session& session, LogTail& tail) {
  constexpr std::chrono::milliseconds kEvery{200};
  const Interruptible interruptible;
  do {
    if (const std::string added = harmless(tail.more()); !added.empty()) session.console().out(added);
  } while (interruptible.pause(kEvery));
}

Answer tail(Session& session, const Arguments& arguments) {
  constexpr std::size_t kLines = 20;
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const std::string& directory = settings->ha.logPath;
  if (!isDirectory(directory)) {
    return Failure{Trouble{CKR_FUNCTION_FAILED,
                           directory.empty() ? "no log is configured"
                                             : "the log's directory " + config::inQuotes(directory) + " does not exist",
                           "Name an existing directory: hagroup halog -path."}};
  }
  LogTail log(directory);
  const std::vector<std::string> lines = log.last(kLines);
  const std::string text = harmless(lines);
  if (!arguments.has("follow")) return Reply{text, Json{{"lines", lines}}};
  session.console().out("\n" + text);
  follow(session, log);
  return Reply{};
}

Answer haLog(Session& session, const Arguments& arguments) {
  if (arguments.has("follow") && (!arguments.has("tail") || arguments.has("json")))
    return Failure{Trouble{CKR_ARGUMENTS_BAD, "-follow goes with -tail, and without -json"}};
  if (arguments.has("tail")) return tail(session, arguments);
  if (const auto path = arguments.find("path")) return setPath(session, *path);
  if (const auto length = arguments.find("maxlength")) return setLength(session, *length);
  if (arguments.has("enable") || arguments.has("disable")) return setStatus(session, arguments.has("enable"));
  return show(session);
}

}  // namespace

std::vector<Command> logCommands() {
  return {{"hagroup",
           "halog",
           "",
           "Configures the HA log",
           {{"path", Value::Path, "directory", Need::OneOf, "Where haErrorLog.txt is written: an existing directory"},
            {"maxlength", Value::Number, "bytes", Need::OneOf, "The length at which the file is set aside"},
            {"enable", Value::None, "", Need::OneOf, "Writes the log"},
            {"disable", Value::None, "", Need::OneOf, "Writes no log"},
            {"show", Value::None, "", Need::OneOf, "Says how the log is configured"},
            {"tail", Value::None, "", Need::OneOf, "Shows the last lines of the log, of files set aside too"},
            {"follow", Value::None, "", Need::Optional, "With -tail: goes on with what is added, until Enter or ^C"},
            jsonOption()},
           haLog}};
}

}  // namespace p11ha::cli
