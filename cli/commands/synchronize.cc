// hagroup synchronize: the members of a group are made to hold the same, and whether that is done by itself.
#include <algorithm>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/contents.h"
#include "cli/domain_setup.h"
#include "cli/pause.h"
#include "cli/pins.h"
#include "cli/reunion.h"
#include "cli/tokens.h"
#include "cryptoki/return_codes.h"

namespace p11ha::cli {
namespace {

using base::Failure;

Answer setAutomatic(Session& session, const std::string& name, bool enable) {
  const auto group = changeGroup(session, name, [&](config::Group& changed) -> std::optional<Trouble> {
    changed.synchronize = enable;
    return std::nullopt;
  });
  if (!group) return Failure{group.error()};
  return Reply{sentence("Synchronization of the HA group " + group->label + " was successfully " +
                        (enable ? "enabled." : "disabled."))};
}

Json needsSyncJson(const Contents& contents) {
  const auto needsSync = contents.needsSyncAtAll();
  return needsSync ? Json(*needsSync) : Json();
}

// What is where, and where it is not.
void addMissing(Reply& reply, const config::Group& group, const Contents& contents) {
  (*reply.json)["missing"] = Json::array();
  for (const Item& item : contents.items) {
    for (std::size_t i = 0; i < group.members.size(); ++i) {
      if (contents.read[i] != CKR_OK || item.handles[i] != CK_INVALID_HANDLE) continue;
      reply.text +=
          sentence("Member " + group.members[i] + " lacks: " + kindOf(item.identity) + " \"" + labelOf(item.identity) +
                   "\"" + (item.isSealed ? ", which is not extractable, nor is there a domain to clone it" : ""));
      (*reply.json)["missing"].push_back(
          {{"member", group.members[i]}, {"type", kindOf(item.identity)}, {"label", plainLabelOf(item.identity)}});
    }
  }
}

Answer plan(const config::Group& group, const Contents& contents) {
  if (auto trouble = contents.nothingRead()) return Failure{*std::move(trouble)};
  Reply reply{{}, Json{{"group", group.label}, {"needsSync", needsSyncJson(contents)}}};
  addMissing(reply, group, contents);
  if (reply.text.empty()) reply.text = sentence("All members that could be read hold the same.");
  (*reply.json)["unread"] = Json::array();
  for (std::size_t i = 0; i < group.members.size(); ++i) {
    if (contents.read[i] == CKR_OK) continue;
    reply.text +=
        sentence("Member " + group.members[i] + " could not be read: " + cryptoki::returnCodeName(contents.read[i]));
    (*reply.json)["unread"].push_back(group.members[i]);
  }
  return reply;
}

// All that members lack is what no synchronization gives them.
bool onlySealed(const Contents& contents) {
  return std::all_of(contents.items.begin(), contents.items.end(), [&](const Item& item) {
    for (std::size_t i = 0; i < contents.read.size(); ++i) {
      if (contents.read[i] == CKR_OK && item.handles[i] == CK_INVALID_HANDLE) return item.isSealed;
    }
    return true;
  });
}

// What became of it, measured again.
Answer outcome(const config::Group& group, const Contents& after, const Reunion& done) {
  Reply reply{{}, Json{{"group", group.label}, {"needsSync", needsSyncJson(after)}, {"members", Json::array()}}};
  bool isWhole = onlySealed(after);
  for (const std::string& serial : group.members) {
    const auto joined = std::find_if(done.members.begin(), done.members.end(),
                                     [&](const Reunion::Member& member) { return member.serial == serial; });
    const bool wasThere = joined != done.members.end();
    const CK_RV rv = wasThere ? joined->rv : CKR_TOKEN_NOT_PRESENT;
    const std::size_t copied = wasThere ? joined->copied : 0;
    isWhole = isWhole && rv == CKR_OK;
    reply.text += sentence("Member " + serial + ": " +
                           (rv == CKR_OK ? std::to_string(copied) + (copied == 1 ? " object" : " objects") + " copied"
                                         : "not synchronized: " + cryptoki::returnCodeName(rv)));
    (*reply.json)["members"].push_back(
        {{"serial", serial}, {"result", cryptoki::returnCodeName(rv)}, {"copied", copied}});
  }
  addMissing(reply, group, after);
  for (const std::string& remark : done.remarks) reply.text += sentence(remark);
  (*reply.json)["remarks"] = done.remarks;
  if (isWhole) {
    reply.text +=
        sentence("Group " + group.label + " is synchronized" +
                 (after.needsSync() ? ", but for what stays where it was made: `-sopassword` makes a domain." : "."));
    return reply;
  }
  return Failure{Trouble{CKR_FUNCTION_FAILED, "group " + group.label + " is not synchronized on all members",
                         "See what is said above, mend it, and run the command again.", std::move(reply)}};
}

Answer synchronize(Session& session, const Arguments& arguments) {
  if (arguments.has("enable") || arguments.has("disable"))
    return setAutomatic(session, arguments.text("group"), arguments.has("enable"));
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  const auto group = findGroup(*settings, arguments.text("group"));
  if (!group) return Failure{group.error()};
  const Interruptible interruptible(Interruptible::Second::Ends);
  const Tokens tokens(*settings, session.console());
  const auto pin = pinFor(session, arguments, "password");
  if (!pin) return Failure{pin.error()};
  const auto before = readContents(membersOf(*group, tokens), &*pin);
  if (!before) return Failure{before.error()};
  const auto officer = givenPin(arguments, "sopassword");
  if (!officer) return Failure{officer.error()};
  const bool isPlan = arguments.has("dryrun");
  if (*officer) {
    const DomainStep step = isPlan ? DomainStep::Plan : DomainStep::Join;
    if (auto trouble = setDomainUp(session, membersOf(*group, tokens), {*pin, **officer}, step))
      return Failure{*std::move(trouble)};
  }
  if (isPlan) return plan(*group, *before);
  const auto done = reunite(*group, *settings, tokens, *pin, before->missing(), session.console());
  if (!done) return Failure{done.error()};
  const auto after = readContents(membersOf(*group, tokens), &*pin, Depth::Seals);
  if (!after) return Failure{after.error()};
  return outcome(*group, *after, *done);
}

}  // namespace

std::vector<Command> synchronizeCommands() {
  Option officer = officerOption();
  officer.help = "Likewise: members that lack domain keys get some first";
  return {{"hagroup",
           "synchronize",
           "",
           "Copies what some members hold and others lack, or sets whether that is done by itself",
           {groupOption(Need::Required),
            {"enable", Value::None, "", Need::AtMostOne, "What is made in the group is copied to all members"},
            {"disable", Value::None, "", Need::AtMostOne, "It is not: each object stays where it was made"},
            {"dryrun", Value::None, "", Need::AtMostOne, "Says what members lack, and copies nothing"},
            passwordOption(),
            officer,
            jsonOption()},
           synchronize}};
}

}  // namespace p11ha::cli
