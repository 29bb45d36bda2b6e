// Making groups, and members joining and leaving them.
#include <algorithm>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/contents.h"
#include "cli/domain_setup.h"
#include "cli/group_text.h"
#include "cli/pins.h"
#include "cli/reunion.h"
#include "cli/tokens.h"
#include "config/group_edit.h"
#include "config/text.h"
#include "cryptoki/return_codes.h"
#include "ha/domain/token_session.h"

namespace p11ha::cli {
namespace {

using base::Failure;
using base::SecureBytes;
using config::Group;
using config::inQuotes;

struct Pins {
  SecureBytes user;
  std::optional<SecureBytes> officer;
};

base::Result<Pins, Trouble> pinsFor(Session& session, const Arguments& arguments) {
  auto user = pinFor(session, arguments, "password");
  if (!user) return Failure{user.error()};
  auto officer = givenPin(arguments, "sopassword");
  if (!officer) return Failure{officer.error()};
  return Pins{*std::move(user), *std::move(officer)};
}

std::optional<Trouble> takenElsewhere(const config::Settings& settings, const std::string& serial) {
  for (const Group& group : settings.groups) {
    if (!isMember(group, serial)) continue;
    return Trouble{CKR_ARGUMENTS_BAD, "member " + serial + " is in group " + inQuotes(group.label) + " already",
                   "A member is in one group at a time: hagroup removeMember takes it out."};
  }
  return std::nullopt;
}

// `1` + the serial number, cut to what the field holds; with another digit where a group or a token has that number.
base::Result<std::string, Trouble> groupNumber(const config::Settings& settings, const Tokens& tokens,
                                               const std::string& serial) {
  constexpr std::size_t kRest = Group::kLongestSerial - 1;
  const std::string rest = serial.size() > kRest ? serial.substr(serial.size() - kRest) : serial;
  for (const char digit : std::string_view("123456789")) {
    const std::string number = digit + rest;
    const bool isTaken = std::any_of(settings.groups.begin(), settings.groups.end(), [&](const Group& group) {
      return group.serial == number || group.label == number || isMember(group, number);
    });
    if (!isTaken && tokens.find(number) == nullptr) return number;
  }
  return Failure{Trouble{CKR_ARGUMENTS_BAD, "all numbers that a group of member " + serial + " could have are taken",
                         "Make it of another member first."}};
}

// What to do with what a member holds that is to join: asked for where it holds anything.
enum class Existing { Copy, Remove };

base::Result<Existing, Trouble> askAboutExisting(Session& session, const Arguments& arguments, std::size_t objects) {
  std::string answer = arguments.text("objects");
  if (answer.empty()) {
    session.console().note("        Objects on the new member: " + std::to_string(objects) + "\n");
    const auto asked = session.console().ask(
        "        Type 'copy' to keep them and propagate them within the HA group, 'remove' to remove\n"
        "        them, or 'quit' to stop: ");
    if (!asked && asked.error().isInterrupted) return Failure{interrupted(kUnchanged)};
    if (!asked) {
      return Failure{Trouble{CKR_ARGUMENTS_BAD,
                             "the new member holds objects (" + std::to_string(objects) + "), and " + asked.error().why,
                             "Say by -objects what is to become of them: copy or remove."}};
    }
    answer = *asked;
  }
  if (config::equalsIgnoringCase(answer, "copy")) return Existing::Copy;
  if (config::equalsIgnoringCase(answer, "remove")) return Existing::Remove;
  return Failure{Trouble{CKR_FUNCTION_CANCELED, "stopped, as was asked", kUnchanged}};
}

// The PIN is the member's; what is to become of what the member holds.
base::Result<Existing, Trouble> decide(Session& session, const Arguments& arguments, const Token& token,
                                       const SecureBytes& pin) {
  const Token* const alone[] = {&token};
  const auto contents = readContents(alone, &pin);
  if (!contents) return Failure{contents.error()};
  if (contents->read.front() != CKR_OK) return Failure{refusedPin(token.serial(), CKU_USER, contents->read.front())};
  if (contents->items.empty()) return Existing::Copy;
  return askAboutExisting(session, arguments, contents->items.size());
}

// What a member brings into a group, and how.
struct Newcomer {
  const Token& token;
  const Pins& pins;
  Existing existing;
};

// Changes the configuration. What is destroyed for it goes last, when nothing else can fail any more; whether anything
// can is seen before any member is touched.
base::Result<config::Settings, Trouble> join(Session& session, const Newcomer& newcomer,
                                             const std::vector<const Token*>& members, const Session::Edit& edit) {
  if (auto trouble = session.rehearse(edit)) return Failure{*std::move(trouble)};
  const Token& token = newcomer.token;
  const Pins& pins = newcomer.pins;
  if (pins.officer) {
    if (auto trouble = setDomainUp(session, members, {pins.user, *pins.officer}, DomainStep::Join))
      return Failure{*std::move(trouble)};
  }
  if (newcomer.existing == Existing::Copy) return session.change(edit);
  bool removed = false;
  auto saved = session.change(edit, [&] {
    auto trouble = removeContents(token, pins.user);
    removed = !trouble;
    return trouble;
  });
  if (saved || !removed) return saved;
  return Failure{Trouble{saved.error().rv, saved.error().what,
                         "What member " + token.serial() + " held is gone; the configuration was not changed."}};
}

Trouble notWritten(const config::Edit& edit) { return {CKR_ARGUMENTS_BAD, edit.error(), kUnchanged}; }

std::optional<Trouble> labelTrouble(const config::Settings& settings, const std::string& label) {
  if (label.empty()) return Trouble{CKR_ARGUMENTS_BAD, "-label: expected a label, found nothing", kUnchanged};
  if (label.size() > Group::kLongestLabel) {
    return Trouble{CKR_ARGUMENTS_BAD,
                   "-label: expected at most " + std::to_string(Group::kLongestLabel) + " bytes, found " +
                       std::to_string(label.size()),
                   kUnchanged};
  }
  for (const Group& group : settings.groups) {
    if (config::equalsIgnoringCase(group.label, label))
      return Trouble{CKR_ARGUMENTS_BAD, "there is a group " + inQuotes(group.label) + " already", kUnchanged};
    if (group.serial == label) {
      return Trouble{CKR_ARGUMENTS_BAD,
                     "-label: " + inQuotes(label) + " is the number of group " + inQuotes(group.label), kUnchanged};
    }
  }
  return std::nullopt;
}

Answer createGroup(Session& session, const Arguments& arguments) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const std::string label = arguments.text("label");
  if (auto trouble = labelTrouble(*settings, label)) return Failure{*std::move(trouble)};
  const Tokens tokens(*settings, session.console());
  const auto token = tokens.chosen(arguments);
  if (!token) return Failure{token.error()};
  const std::string& serial = (*token)->serial();
  if (auto trouble = takenElsewhere(*settings, serial)) return Failure{*std::move(trouble)};
  const auto number = groupNumber(*settings, tokens, serial);
  if (!number) return Failure{number.error()};
  const auto pins = pinsFor(session, arguments);
  if (!pins) return Failure{pins.error()};
  const auto existing = decide(session, arguments, **token, pins->user);
  if (!existing) return Failure{existing.error()};
  const auto edit = [&](config::Document& document, const config::Settings& now) {
    if (auto trouble = labelTrouble(now, label)) return trouble;
    if (auto trouble = takenElsewhere(now, serial)) return trouble;
    Group group;
    group.number = config::freeGroupNumber(document);
    group.label = label;
    group.serial = *number;
    group.members = {serial};
    if (config::putGroup(document, group)) return std::optional<Trouble>();
    // All else of a new group are numbers.
    return std::optional(Trouble{
        CKR_ARGUMENTS_BAD, "-label: " + inQuotes(label) + " cannot stand in a configuration, where labels are keys",
        "Make it of letters, digits, blanks, hyphens and the like; nothing was changed."});
  };
  const auto saved = join(session, {**token, *pins, *existing}, {*token}, edit);
  if (!saved) return Failure{saved.error()};
  return Reply{
      "New group with label \"" + label + "\" created with group number " + *number +
      ".\nGroup configuration is:\nHA Group Label: " + label + "\nHA Group Number: " + *number +
      "\nGroup Members: " + serial +
      "\nNeeds sync: no\nIt is recommended that you restart LunaCM to refresh\nthe list of available slots.\n"};
}

// The other members take the same PIN. The first that does not ends it: no other is asked.
std::optional<Trouble> samePin(const std::vector<const Token*>& members, const SecureBytes& pin) {
  for (const Token* const member : members) {
    if (member == nullptr || !member->isThere()) continue;
    ha::domain::TokenSession session(*member->member);
    CK_RV rv = session.open().rv;
    if (rv == CKR_OK) rv = session.login(CKU_USER, pin).rv;
    if (rv != CKR_OK) return refusedPin(member->serial(), CKU_USER, rv);
    return std::nullopt;
  }
  return Trouble{CKR_TOKEN_NOT_PRESENT,
                 "no member of the group can be reached: nobody can tell whether the PIN is the group's",
                 "Try again once one is there; nothing was changed."};
}

// The group as it is now, with what its members hold.
Reply afterChange(Session& session, const std::string& first, const config::Settings& settings, const Group& group,
                  const Tokens& tokens, const SecureBytes* pin) {
  std::optional<Contents> contents;
  if (pin != nullptr) {
    auto read = readContents(membersOf(group, tokens), pin);
    if (read) {
      contents = *std::move(read);
    } else {
      session.console().note(read.error().what + "\n");
    }
  }
  Reply reply{sentence(first + " New group configuration is:") + "\n" +
              groupText({group, settings, tokens, std::nullopt, contents ? &*contents : nullptr})};
  if (contents && contents->needsSync()) {
    reply.text += "\n" + sentence("Please use the command \"hagroup synchronize\" when you are ready") +
                  sentence("to replicate data between all members of the HA group.");
  }
  return reply;
}

// What the group holds already goes to the new member, and what that holds to the others. What fails at it shows in the
// listing that follows; trouble: it was interrupted.
std::optional<Trouble> propagate(Session& session, const Group& group, const config::Settings& settings,
                                 const Tokens& tokens, const SecureBytes& pin) {
  if (!group.synchronize) return std::nullopt;
  const auto contents = readContents(membersOf(group, tokens), &pin);
  if (!contents || !contents->needsSync()) return std::nullopt;
  const auto done = reunite(group, settings, tokens, pin, contents->missing(), session.console());
  if (!done && done.error().rv == CKR_FUNCTION_CANCELED) return done.error();
  if (!done) session.console().note(done.error().what + "\n");
  if (!done) return std::nullopt;
  for (const Reunion::Member& member : done->members) {
    if (member.rv != CKR_OK)
      session.console().note("member " + member.serial + ": " + cryptoki::returnCodeName(member.rv) + "\n");
  }
  for (const std::string& remark : done->remarks) session.console().note(remark + "\n");
  return std::nullopt;
}

Answer addMember(Session& session, const Arguments& arguments) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const auto group = findGroup(*settings, arguments.text("group"));
  if (!group) return Failure{group.error()};
  const Tokens tokens(*settings, session.console());
  const auto token = tokens.chosen(arguments);
  if (!token) return Failure{token.error()};
  const std::string& serial = (*token)->serial();
  if (auto trouble = takenElsewhere(*settings, serial)) return Failure{*std::move(trouble)};
  if (group->members.size() == Group::kMostMembers) {
    return Failure{Trouble{CKR_ARGUMENTS_BAD,
                           "group " + inQuotes(group->label) + " has " + std::to_string(Group::kMostMembers) +
                               " members, and may not have more",
                           kUnchanged}};
  }
  const auto pins = pinsFor(session, arguments);
  if (!pins) return Failure{pins.error()};
  std::vector<const Token*> members = membersOf(*group, tokens);
  if (auto trouble = samePin(members, pins->user)) return Failure{*std::move(trouble)};
  const auto existing = decide(session, arguments, **token, pins->user);
  if (!existing) return Failure{existing.error()};
  members.push_back(*token);
  Group changed = *group;
  const auto edit = [&](config::Document& document, const config::Settings& now) {
    const auto current = sameGroup(now, *group);
    if (!current) return std::optional(current.error());
    if (auto trouble = takenElsewhere(now, serial)) return trouble;
    changed = *current;
    changed.members.push_back(serial);
    const auto written = config::putGroup(document, changed);
    return written ? std::nullopt : std::optional(notWritten(written));
  };
  const auto saved = join(session, {**token, *pins, *existing}, members, edit);
  if (!saved) return Failure{saved.error()};
  auto trouble = propagate(session, changed, *saved, tokens, pins->user);
  Reply reply = afterChange(session, "Member " + serial + " successfully added to group " + changed.label + ".", *saved,
                            changed, tokens, &pins->user);
  if (!trouble) return reply;
  trouble->soFar = std::move(reply);
  return Failure{*std::move(trouble)};
}

std::optional<Trouble> withoutMember(Group& group, const std::string& serial) {
  if (!isMember(group, serial)) {
    return Trouble{
        CKR_ARGUMENTS_BAD,
        "group " + inQuotes(group.label) + " has no member " + inQuotes(serial) + "; it has " + listed(group.members),
        kUnchanged};
  }
  if (group.members.size() == 1) {
    return Trouble{CKR_ARGUMENTS_BAD, "member " + serial + " is the last one of group " + inQuotes(group.label),
                   "A group has at least one; hagroup deleteGroup removes the group itself."};
  }
  std::erase(group.members, serial);
  std::erase(group.standby, serial);
  if (group.standby.size() < group.members.size()) return std::nullopt;
  return Trouble{CKR_ARGUMENTS_BAD, "all members that would be left are on standby: " + listed(group.standby),
                 "Take one from standby first: hagroup removeStandby."};
}

Answer removeMember(Session& session, const Arguments& arguments) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const auto group = findGroup(*settings, arguments.text("group"));
  if (!group) return Failure{group.error()};
  const std::string serial = arguments.text("serialNumber");
  Group changed = *group;
  if (auto trouble = withoutMember(changed, serial)) return Failure{*std::move(trouble)};
  const Tokens tokens(*settings, session.console());
  auto officer = givenPin(arguments, "sopassword");
  if (!officer) return Failure{officer.error()};
  auto user = givenPin(arguments, "password");
  if (!user) return Failure{user.error()};
  const auto edit = [&](config::Document& document, const config::Settings& now) {
    const auto current = sameGroup(now, *group);
    if (!current) return std::optional(current.error());
    changed = *current;
    if (auto trouble = withoutMember(changed, serial)) return trouble;
    const auto written = config::putGroup(document, changed);
    return written ? std::nullopt : std::optional(notWritten(written));
  };
  if (*officer) {
    auto pin = pinFor(session, arguments, "password");
    if (!pin) return Failure{pin.error()};
    *user = *std::move(pin);
    // New keys leave the member out: first, whether it can be taken out.
    if (auto trouble = session.rehearse(edit)) return Failure{*std::move(trouble)};
    if (auto trouble = setDomainUp(session, membersOf(changed, tokens), {**user, **officer}, DomainStep::Renew))
      return Failure{*std::move(trouble)};
  }
  const auto saved = session.change(edit);
  if (!saved) return Failure{saved.error()};
  return afterChange(session, "Member " + serial + " successfully removed from group " + changed.label + ".", *saved,
                     changed, tokens, *user ? &**user : nullptr);
}

std::vector<Option> memberToJoin() {
  return {{"serialNumber", Value::Serial, "SN", Need::OneOf, "The serial number of the member"},
          {"slot", Value::Number, "N", Need::OneOf, "Its slot in `slot list`"}};
}

Option objectsOption() {
  return {"objects",
          Value::Text,
          "what",
          Need::Optional,
          "What becomes of what it holds already; asked for otherwise",
          {"copy", "remove"}};
}

}  // namespace

std::vector<Command> membershipCommands() {
  std::vector<Option> create = memberToJoin();
  create.push_back({"label", Value::Text, "label", Need::Required, "What the group is to be called"});
  std::vector<Option> add = memberToJoin();
  add.push_back(groupOption(Need::Required));
  for (std::vector<Option>* const options : {&create, &add})
    options->insert(options->end(), {passwordOption(), officerOption(), objectsOption()});
  Option officer = officerOption();
  officer.help = "Likewise: the members that stay get new domain keys";
  return {
      {"hagroup", "createGroup", "", "Makes a group of one member", create, createGroup},
      {"hagroup", "addMember", "", "Adds a member to a group", add, addMember},
      {"hagroup",
       "removeMember",
       "",
       "Takes a member out of a group, which keeps its number",
       {{"serialNumber", Value::Serial, "SN", Need::Required, "The serial number of the member"},
        groupOption(Need::Required),
        passwordOption(),
        officer},
       removeMember},
  };
}

}  // namespace p11ha::cli
