// What a group is in the configuration, as far as nobody has to ask its members.
#include <algorithm>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "config/group_edit.h"
#include "config/text.h"

namespace p11ha::cli {
namespace {

using base::Failure;
using config::Group;
using config::inQuotes;

std::optional<Trouble> noMember(const Group& group, const std::string& serial) {
  if (isMember(group, serial)) return std::nullopt;
  return Trouble{
      CKR_ARGUMENTS_BAD,
      "group " + inQuotes(group.label) + " has no member " + inQuotes(serial) + "; it has " + listed(group.members),
      "Add it first: hagroup addMember."};
}

Answer addStandby(Session& session, const Arguments& arguments) {
  const std::string serial = arguments.text("serialNumber");
  const auto group = changeGroup(session, arguments.text("group"), [&](Group& changed) -> std::optional<Trouble> {
    if (auto trouble = noMember(changed, serial)) return trouble;
    if (std::find(changed.standby.begin(), changed.standby.end(), serial) != changed.standby.end())
      return Trouble{CKR_ARGUMENTS_BAD, "member " + serial + " is on standby already"};
    if (changed.standby.size() + 1 == changed.members.size()) {
      return Trouble{CKR_ARGUMENTS_BAD, "member " + serial + " is the only one that is not on standby",
                     "One has to serve: add another member, or take one from standby."};
    }
    changed.standby.push_back(serial);
    return std::nullopt;
  });
  if (!group) return Failure{group.error()};
  return Reply{sentence("The member " + serial + " was successfully added to the standby list for the HA Group " +
                        group->label + ".")};
}

Answer removeStandby(Session& session, const Arguments& arguments) {
  const std::string serial = arguments.text("serialNumber");
  const auto group = changeGroup(session, arguments.text("group"), [&](Group& changed) -> std::optional<Trouble> {
    if (std::erase(changed.standby, serial) != 0) return std::nullopt;
    return Trouble{CKR_ARGUMENTS_BAD, "group " + inQuotes(changed.label) + " has no standby member " +
                                          inQuotes(serial) +
                                          (changed.standby.empty() ? "" : "; it has " + listed(changed.standby))};
  });
  if (!group) return Failure{group.error()};
  return Reply{sentence("The member " + serial + " was successfully removed from the standby list for the HA Group " +
                        group->label + ".")};
}

Answer deleteGroup(Session& session, const Arguments& arguments) {
  std::string label;
  const auto done = session.change([&](config::Document& document, const config::Settings& now) {
    const std::string name = arguments.text("label");
    const auto group = findGroup(now, name);
    if (group) config::dropGroup(document, *group);
    label = group ? group->label : name;
    if (group) return std::optional<Trouble>();
    // One that is left out for an error is in the file all the same.
    auto written = config::findWritten(document, name);
    if (!written) return std::optional(group.error());
    const auto sameLabel = [&](const Group& sound) { return config::equalsIgnoringCase(sound.label, written->label); };
    if (std::any_of(now.groups.begin(), now.groups.end(), sameLabel)) written->label.clear();  // its settings stay
    config::dropGroup(document, *written);
    return std::optional<Trouble>();
  });
  if (!done) return Failure{done.error()};
  return Reply{sentence("The HA group " + label + " was successfully deleted.") +
               sentence("What its members hold stays on them.")};
}

Answer haOnly(Session& session, const Arguments& arguments) {
  if (arguments.has("show")) {
    const auto settings = session.settings();
    if (!settings) return Failure{settings.error()};
    const bool only = settings->ha.haOnly;
    return Reply{sentence(only ? "This system is configured to show only HA slots. (HA Only is enabled)"
                               : "This system is configured to show all slots. (HA Only is disabled)"),
                 Json{{"haOnly", only}}};
  }
  const bool enable = arguments.has("enable");
  const auto changed =
      setAlone(session, enable ? "enable" : "disable", "HAConfiguration", "HAOnly", enable ? "1" : "0");
  if (!changed) return Failure{changed.error()};
  return Reply{sentence(std::string("\"HA Only\" has been ") + (enable ? "enabled." : "disabled."))};
}

Option memberOption() {
  return {"serialNumber", Value::Serial, "SN", Need::Required, "The serial number of the member"};
}

}  // namespace

std::vector<Command> groupSettingsCommands() {
  return {
      {"hagroup",
       "addStandby",
       "",
       "Lets a member serve only when no other is left",
       {groupOption(Need::Required), memberOption()},
       addStandby},
      {"hagroup",
       "removeStandby",
       "",
       "Lets a member serve with the others again",
       {groupOption(Need::Required), memberOption()},
       removeStandby},
      {"hagroup",
       "deleteGroup",
       "",
       "Removes a group; its members keep what they hold",
       {{"label", Value::Group, "label", Need::Required, "The group: its label or its number"}},
       deleteGroup},
      {"hagroup",
       "haOnly",
       "",
       "Sets whether applications see groups alone, or members too",
       {{"enable", Value::None, "", Need::OneOf, "Groups alone"},
        {"disable", Value::None, "", Need::OneOf, "Members, then groups"},
        {"show", Value::None, "", Need::OneOf, "Says which it is"},
        jsonOption()},
       haOnly},
  };
}

}  // namespace p11ha::cli
