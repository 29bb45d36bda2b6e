// What there is: tokens and groups.
#include <algorithm>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/contents.h"
#include "cli/group_text.h"
#include "cli/pins.h"
#include "cli/status_text.h"
#include "cli/tokens.h"
#include "compose/status_reader.h"
#include "cryptoki/text.h"

namespace p11ha::cli {
namespace {

using base::Failure;
using base::SecureBytes;

// The PIN by which a group's contents are read: given, or asked for where somebody can answer; nullopt: nobody said.
base::Result<std::optional<SecureBytes>, Trouble> pinToLook(Session& session, const Arguments& arguments,
                                                            const config::Group& group) {
  if (arguments.has("password") || arguments.has("json")) return givenPin(arguments, "password");
  auto asked = session.console().askSecret(
      "        If you would like to see synchronization data for group " + group.label +
      ",\n        please enter the password for the group members.\n\n        Enter the password: ");
  if (!asked && asked.error().isInterrupted) return Failure{interrupted("")};
  if (!asked || asked->empty()) return std::optional<SecureBytes>();
  return std::optional(*std::move(asked));
}

std::vector<config::Group> groupsMeant(const config::Settings& settings, const Arguments& arguments,
                                       std::optional<Trouble>& trouble) {
  if (!arguments.has("group")) return settings.groups;
  const auto group = findGroup(settings, arguments.text("group"));
  if (group) return {*group};
  trouble = group.error();
  return {};
}

std::size_t indexOf(const config::Settings& settings, const config::Group& group) {
  const auto found = std::find_if(settings.groups.begin(), settings.groups.end(),
                                  [&](const config::Group& each) { return each.serial == group.serial; });
  return static_cast<std::size_t>(found - settings.groups.begin());
}

Answer listGroups(Session& session, const Arguments& arguments) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  std::optional<Trouble> trouble;
  const auto groups = groupsMeant(*settings, arguments, trouble);
  if (trouble) return Failure{*trouble};
  const Tokens tokens(*settings, session.console());
  const auto applications = compose::StatusReader(statusDirectory(*settings)).read();
  Reply reply{settingsText(*settings), settingsJson(*settings)};
  (*reply.json)["groups"] = Json::array();
  std::optional<Trouble> refused;
  for (const config::Group& group : groups) {
    const auto pin = pinToLook(session, arguments, group);
    if (!pin) return Failure{pin.error()};
    std::optional<Contents> contents;
    if (*pin && !(refused && arguments.has("password"))) {
      auto read = readContents(membersOf(group, tokens), &**pin);
      if (read) {
        contents = *std::move(read);
      } else if (groups.size() == 1 || read.error().rv == CKR_FUNCTION_CANCELED) {
        return Failure{read.error()};
      } else {
        refused = {read.error().rv, "group " + config::inQuotes(group.label) + ": " + read.error().what,
                   "Name one group by -group, with its PIN; a refused one was given to no other."};
      }
    }
    const GroupFacts facts{group, *settings, tokens, tokens.slotOfGroup(indexOf(*settings, group)),
                           contents ? &*contents : nullptr};
    const auto reports = onlyGroup(applications, group.serial);
    reply.text += "\n" + groupText(facts);
    if (!reports.empty()) reply.text += "\n" + statusTable(reports, {session.console().isTerminal(), nullptr});
    Json json = groupJson(facts);
    json["applications"] = statusJson(reports)["processes"];
    (*reply.json)["groups"].push_back(std::move(json));
  }
  if (!refused) return reply;
  refused->soFar = std::move(reply);
  return Failure{*std::move(refused)};
}

std::string arrow(std::string_view label, const std::string& value) {
  std::string text = "        " + std::string(label) + " ->";
  text.resize(std::max<std::size_t>(text.size() + 1, 32), ' ');
  return text + escaped(value) + "\n";
}

std::string arrowIfAny(std::string_view label, const std::string& value) {
  return value.empty() ? "" : arrow(label, value);
}

Json textOrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }

std::string version(const CK_VERSION& version) {
  return std::to_string(version.major) + "." + std::to_string(version.minor);
}

struct Slot {
  unsigned id;
  std::string label, serial, model, firmware, description;
  bool isThere = true;
};

// A member of a group that nobody shows now: its slot is its own.
Slot awaySlot(unsigned id, const std::string& serial) {
  return {id, "------------", serial, "", "", "Net Token Slot", false};
}

std::vector<Slot> slotsOf(const config::Settings& settings, const Tokens& tokens) {
  std::vector<Slot> slots;
  for (const Token& token : tokens.all()) {
    const auto id = static_cast<unsigned>(slots.size());
    slots.push_back(token.isThere() ? Slot{id, token.plainLabel(), token.serial(), cryptoki::unpad(token.info.model),
                                           version(token.info.firmwareVersion), "Net Token Slot"}
                                    : awaySlot(id, token.serial()));
  }
  for (std::size_t i = 0; i < settings.groups.size(); ++i) {
    const config::Group& group = settings.groups[i];
    slots.push_back({tokens.slotOfGroup(i), group.label, group.serial, "LunaVirtual", "", "HA Virtual Card Slot"});
  }
  return slots;
}

Answer listSlots(Session& session, const Arguments&) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const Tokens tokens(*settings, session.console());
  Reply reply{{}, Json{{"slots", Json::array()}}};
  std::string current = "Not Available";
  for (const Slot& slot : slotsOf(*settings, tokens)) {
    if (session.current == slot.serial) current = std::to_string(slot.id);
    reply.text += arrow("Slot Id", std::to_string(slot.id)) + arrow("Label", slot.label) +
                  arrow("Serial Number", slot.serial) + arrowIfAny("Model", slot.model) +
                  arrowIfAny("Firmware Version", slot.firmware) + arrow("Slot Description", slot.description) +
                  (slot.isThere ? "" : arrow("Status", "down")) + "\n";
    (*reply.json)["slots"].push_back({{"slot", slot.id},
                                      {"label", slot.isThere ? Json(slot.label) : Json()},
                                      {"serial", slot.serial},
                                      {"model", textOrNull(slot.model)},
                                      {"firmware", textOrNull(slot.firmware)},
                                      {"description", slot.description},
                                      {"present", slot.isThere}});
  }
  if (session.current) reply.text += arrow("Current Slot Id", current);
  if (reply.text.empty()) reply.text = sentence("There is no token: no module, server or group is configured.");
  if (reply.text.ends_with("\n\n")) reply.text.pop_back();
  return reply;
}

Answer setSlot(Session& session, const Arguments& arguments) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const Tokens tokens(*settings, session.console());
  const auto wanted = slotNumber(arguments.text("slot"));
  std::vector<std::string> there;
  for (const Slot& slot : slotsOf(*settings, tokens)) {
    if (wanted == slot.id) {
      session.current = slot.serial;
      return Reply{sentence("Current Slot Id: " + std::to_string(slot.id) + " (" + escaped(slot.label) + ")")};
    }
    there.push_back(std::to_string(slot.id) + " (" + escaped(slot.label) + ")");
  }
  return Failure{
      Trouble{CKR_SLOT_ID_INVALID,
              "there is no slot " + config::inQuotes(arguments.text("slot")) + "; there are " + listed(there),
              "See `slot list`."}};
}

}  // namespace

std::vector<Command> listingCommands() {
  return {
      {"hagroup",
       "listGroups",
       "",
       "Lists groups and their members",
       {groupOption(Need::Optional), passwordOption(), jsonOption()},
       listGroups},
  };
}

std::vector<Command> slotCommands() {
  return {
      {"slot", "list", "", "Lists tokens, then groups", {jsonOption()}, listSlots},
      {"slot",
       "set",
       "",
       "Sets the slot that `partition` commands mean which name none",
       {{"slot", Value::Number, "N", Need::Required, "Its number in `slot list`"}},
       setSlot},
  };
}

}  // namespace p11ha::cli
