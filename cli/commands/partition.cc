// What is on a member or in a group, and its PIN.
#include <algorithm>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/contents.h"
#include "cli/pause.h"
#include "cli/pins.h"
#include "cli/tokens.h"
#include "cryptoki/return_codes.h"
#include "ha/domain/token_session.h"

namespace p11ha::cli {
namespace {

using base::Failure;
using base::SecureBytes;
using cryptoki::Fn;
using cryptoki::makeCall;

// A token, or the members of a group.
struct Target {
  std::string name;
  std::vector<const Token*> members;
};

base::Result<Target, Trouble> targetInSlot(const config::Settings& settings, const Tokens& tokens,
                                           const std::string& slot) {
  const auto number = slotNumber(slot);
  for (std::size_t i = 0; i < settings.groups.size(); ++i) {
    if (number == tokens.slotOfGroup(i)) return Target{settings.groups[i].label, membersOf(settings.groups[i], tokens)};
  }
  const auto token = tokens.inSlot(slot);
  if (!token) return Failure{token.error()};
  return Target{(*token)->label(), {*token}};
}

base::Result<Target, Trouble> targetNumbered(const config::Settings& settings, const Tokens& tokens,
                                             const std::string& serial) {
  for (const config::Group& group : settings.groups) {
    if (group.serial == serial) return Target{group.label, membersOf(group, tokens)};
  }
  const auto token = tokens.named(serial);
  if (!token) return Failure{token.error()};
  return Target{(*token)->label(), {*token}};
}

base::Result<Target, Trouble> targetOf(const Session& session, const config::Settings& settings, const Tokens& tokens,
                                       const Arguments& arguments) {
  if (const auto name = arguments.find("group")) {
    const auto group = findGroup(settings, *name);
    if (!group) return Failure{group.error()};
    return Target{group->label, membersOf(*group, tokens)};
  }
  if (const auto serial = arguments.find("serialNumber")) {
    const auto token = tokens.named(*serial);
    if (!token) return Failure{token.error()};
    return Target{(*token)->label(), {*token}};
  }
  if (const auto slot = arguments.find("slot")) return targetInSlot(settings, tokens, *slot);
  if (session.current) return targetNumbered(settings, tokens, *session.current);
  return Failure{Trouble{CKR_SLOT_ID_INVALID, "it is not said which slot",
                         "Name it by -slot, -serialNumber or -group, or choose one by `slot set`."}};
}

std::string holders(const Item& item, const Target& target) {
  std::vector<std::string> serials;
  for (std::size_t i = 0; i < target.members.size(); ++i) {
    if (item.handles[i] != CK_INVALID_HANDLE) serials.push_back(target.members[i]->serial());
  }
  return std::to_string(serials.size()) + " of " + std::to_string(target.members.size()) + ": " + listed(serials);
}

std::string field(std::string_view label, const std::string& value) {
  std::string text = "        " + std::string(label);
  text.resize(std::max<std::size_t>(text.size() + 1, 23), ' ');
  return text + value + "\n";
}

Answer contents(Session& session, const Arguments& arguments) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const Tokens tokens(*settings, session.console());
  const auto target = targetOf(session, *settings, tokens, arguments);
  if (!target) return Failure{target.error()};
  const auto pin = pinFor(session, arguments, "password");
  if (!pin) return Failure{pin.error()};
  const auto held = readContents(target->members, &*pin);
  if (!held) return Failure{held.error()};
  if (auto trouble = held->nothingRead()) return Failure{*std::move(trouble)};
  const bool isGroup = target->members.size() > 1;
  for (std::size_t i = 0; i < held->read.size(); ++i) {
    if (held->read[i] == CKR_OK) continue;
    const std::string serial = target->members[i] == nullptr ? "?" : target->members[i]->serial();
    const std::string what = "member " + serial + " cannot be read: " + cryptoki::returnCodeName(held->read[i]);
    session.console().note(what + "\n");
  }
  Reply reply{sentence("Object list:") + "\n", Json{{"objects", Json::array()}}};
  for (const Item& item : held->items) {
    reply.text +=
        field("Label:", labelOf(item.identity)) + field("Object Type:", kindOf(item.identity)) +
        (isGroup ? field("Members:", holders(item, *target)) : field("Handle:", std::to_string(item.handles[0]))) +
        "\n";
    Json on = Json::array();
    for (std::size_t i = 0; i < target->members.size(); ++i) {
      if (item.handles[i] != CK_INVALID_HANDLE) on.push_back(target->members[i]->serial());
    }
    (*reply.json)["objects"].push_back(
        {{"label", plainLabelOf(item.identity)}, {"type", kindOf(item.identity)}, {"members", on}});
  }
  reply.text += field("Number of objects:", std::to_string(held->items.size()));
  return reply;
}

CK_RV setPin(const Token& token, const SecureBytes& from, const SecureBytes& to) {
  ha::domain::TokenSession session(*token.member);
  CK_RV rv = session.open().rv;
  if (rv == CKR_OK) rv = session.login(CKU_USER, from).rv;
  if (rv != CKR_OK) return rv;
  SecureBytes before = from;  // C_SetPIN's are not constant
  SecureBytes after = to;
  return token.member
      ->execute(makeCall<Fn::SetPIN>(session.token().session, before.data(), before.size(), after.data(), after.size()))
      .rv;
}

CK_RV tryPin(const Token& token, const SecureBytes& pin) {
  ha::domain::TokenSession session(*token.member);
  const CK_RV rv = session.open().rv;
  return rv == CKR_OK ? session.login(CKU_USER, pin).rv : rv;
}

// Those whose PIN was changed get their old one back.
std::string rolledBack(const std::vector<const Token*>& changed, const SecureBytes& before, const SecureBytes& now) {
  std::vector<std::string> lost;
  for (const Token* const token : changed) {
    if (setPin(*token, now, before) != CKR_OK) lost.push_back(token->serial());
  }
  if (lost.empty()) return "All members have the PIN that they had.";
  return "These have the new PIN, and could not be given the old one back: " + listed(lost) + ".";
}

std::optional<Trouble> allThere(const Target& target) {
  for (const Token* const token : target.members) {
    const bool isThere = token != nullptr && token->isThere();
    if (isThere && token->member->standing() == cryptoki::Standing::Active) continue;
    return Trouble{CKR_TOKEN_NOT_PRESENT,
                   "a member of " + target.name + " cannot be reached" +
                       (token == nullptr ? std::string() : ": " + token->serial()),
                   "Its PIN would differ from that of the others. Try again once it is there, or remove it first."};
  }
  return std::nullopt;
}

base::Result<SecureBytes, Trouble> newPin(Session& session, const Arguments& arguments) {
  const SecureBytes* const given = arguments.pin("newpw");
  const bool isAsked = given == nullptr || given->empty();
  auto pin = pinFor(session, arguments, "newpw", "Enter the new password: ");
  if (!pin || !isAsked) return pin;
  const auto again = pinFor(session, arguments, "newpw", "Re-enter the new password: ");
  if (!again) return Failure{again.error()};
  if (*again != *pin) return Failure{Trouble{CKR_PIN_INVALID, "the two are not the same", kUnchanged}};
  return pin;
}

// On all or none; but those that have the new one already keep it. What interrupts it undoes it, or comes too late.
std::optional<Trouble> changeAll(const std::vector<const Token*>& members, const SecureBytes& before,
                                 const SecureBytes& now) {
  Uninterrupted uninterrupted;
  std::vector<const Token*> changed;
  std::vector<std::string> already;
  const auto refusal = [&](const Token& token, CK_RV rv) {
    return Trouble{rv, "member " + token.serial() + " does not change its PIN: " + cryptoki::returnCodeName(rv),
                   rolledBack(changed, before, now) +
                       (already.empty() ? "" : " The new one had before: " + listed(already) + ".")};
  };
  // The first may have the new one, from an earlier run that was cut off after it; the last one has not, if any has the
  // old one still. So a PIN that is simply wrong costs one try, and is not tried on those that count them again.
  if (members.size() > 1) {
    if (const CK_RV rv = tryPin(*members.back(), before); rv != CKR_OK) return refusal(*members.back(), rv);
  }
  for (const Token* const token : members) {
    if (uninterrupted.pending() != 0) {
      if (uninterrupted.pending() == SIGINT)
        uninterrupted.forget();  // it ends the command, which says what became of it
      return interrupted(rolledBack(changed, before, now));
    }
    const CK_RV rv = setPin(*token, before, now);
    if (rv == CKR_OK) {
      changed.push_back(token);
    } else if (rv == CKR_PIN_INCORRECT && members.size() > 1 && tryPin(*token, now) == CKR_OK) {
      already.push_back(token->serial());
    } else {
      return refusal(*token, rv);
    }
  }
  if (uninterrupted.pending() == SIGINT) uninterrupted.forget();
  return std::nullopt;
}

Answer changePassword(Session& session, const Arguments& arguments) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const Tokens tokens(*settings, session.console());
  const auto target = targetOf(session, *settings, tokens, arguments);
  if (!target) return Failure{target.error()};
  if (auto trouble = allThere(*target)) return Failure{*std::move(trouble)};
  const auto before = pinFor(session, arguments, "oldpw", "Enter the existing password: ");
  if (!before) return Failure{before.error()};
  const auto now = newPin(session, arguments);
  if (!now) return Failure{now.error()};
  if (auto trouble = changeAll(target->members, *before, *now)) return Failure{*std::move(trouble)};
  const std::size_t count = target->members.size();
  return Reply{sentence("The password of " + target->name + " was successfully changed" +
                        (count > 1 ? " on " + std::to_string(count) + " members." : ".")) +
               sentence("Applications that run stay logged in. They know the old one alone, which a member refuses") +
               sentence("when it comes back to them: let them log in with the new one.")};
}

std::vector<Option> slotOptions() {
  return {{"slot", Value::Number, "N", Need::AtMostOne, "The slot in `slot list`, of a token or a group"},
          {"serialNumber", Value::Serial, "SN", Need::AtMostOne, "The serial number of a token"},
          groupOption(Need::AtMostOne)};
}

}  // namespace

std::vector<Command> partitionCommands() {
  std::vector<Option> listing = slotOptions();
  listing.insert(listing.end(), {passwordOption(), jsonOption()});
  std::vector<Option> changing = slotOptions();
  changing.insert(changing.end(), {{"oldpw", Value::Pin, "PIN", Need::Optional,
                                    "The user's PIN, env:NAME or fd:N; asked for otherwise"},
                                   {"newpw", Value::Pin, "PIN", Need::Optional, "The one to come, likewise"}});
  return {
      {"partition", "contents", "", "Lists the objects of a user", listing, contents},
      {"partition", "changepw", "", "Changes the user's PIN, of a group on all members or none", changing,
       changePassword},
  };
}

}  // namespace p11ha::cli
