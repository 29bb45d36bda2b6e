// How members that failed come back, and by whose doing.
#include <charconv>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"

namespace p11ha::cli {
namespace {

using base::Failure;

Answer retry(Session& session, const Arguments& arguments) {
  const auto changed = setAlone(session, "count", "HAConfiguration", "reconnAtt", arguments.text("count"));
  if (!changed) return Failure{changed.error()};
  return Reply{sentence("HA Auto Recovery Count has been set to " + std::to_string(changed->ha.reconnectAttempts))};
}

Answer interval(Session& session, const Arguments& arguments) {
  const auto changed =
      setAlone(session, "interval", "HAConfiguration", "AutoReconnectInterval", arguments.text("interval"));
  if (!changed) return Failure{changed.error()};
  return Reply{sentence("HA Auto Recovery Interval has been set to " +
                        std::to_string(changed->ha.autoReconnectInterval.count()) + " seconds.")};
}

Answer recoveryMode(Session& session, const Arguments& arguments) {
  const std::string mode = arguments.text("mode");
  const auto changed = setAlone(session, "mode", "VirtualToken", "VirtualTokenActiveRecovery", mode);
  if (!changed) return Failure{changed.error()};
  return Reply{sentence("HA Auto Recovery Mode has been set to " + mode + " mode.")};
}

Answer recover(Session& session, const Arguments& arguments) {
  std::string label;
  const auto changed = session.change([&](config::Document& document, const config::Settings& now) {
    const auto group = findGroup(now, arguments.text("group"));
    if (!group) return std::optional(group.error());
    label = group->label;
    // It is the change that asks: it goes round where it cannot go up.
    constexpr std::uint64_t kMost = 0x7fff'ffff'ffff'ffff;
    const std::uint64_t counter = group->recoveryCounter == kMost ? 1 : group->recoveryCounter + 1;
    return set(document, "group", "HARecovery", "<label>", {0, label}, std::to_string(counter));
  });
  if (!changed) return Failure{changed.error()};
  return Reply{sentence("HA group " + label + " has been told to recover its members.")};
}

}  // namespace

std::vector<Command> recoveryCommands() {
  return {
      {"hagroup",
       "retry",
       "rt",
       "Sets how often a member that failed is tried again",
       {{"count", Value::Number, "number", Need::Required, "Attempts for each outage; 0: none, -1: without end"}},
       retry},
      {"hagroup",
       "interval",
       "",
       "Sets how long it is between two attempts",
       {{"interval", Value::Number, "seconds", Need::Required, "From 1 to 1200"}},
       interval},
      {"hagroup",
       "recoveryMode",
       "",
       "Sets what becomes of sessions and logins when all members fail",
       {{"mode",
         Value::Text,
         "mode",
         Need::Required,
         "activeEnhanced: they survive",
         {"activeBasic", "activeEnhanced"}}},
       recoveryMode},
      {"hagroup",
       "recover",
       "",
       "Tells running applications to try the members of a group again",
       {groupOption(Need::Required)},
       recover},
  };
}

}  // namespace p11ha::cli
