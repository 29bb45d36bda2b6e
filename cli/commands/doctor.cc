// hagroup doctor: what is wrong, and what helps.
#include <algorithm>
#include <ctime>
#include <iterator>

#include "cli/checkup.h"
#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/pins.h"
#include "config/text.h"

namespace p11ha::cli {
namespace {

using base::Failure;
using Weight = Finding::Weight;

std::string wordFor(Weight weight) {
  switch (weight) {
    case Weight::Fine:
      return "ok";
    case Weight::Note:
      return "note";
    case Weight::Warning:
      return "WARNING";
    case Weight::Error:
      break;
  }
  return "ERROR";
}

void append(Findings& to, Findings from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

// What is to be seen without a PIN, then with it. A refused one is a finding; it is tried on one member only, of
// all groups. Trouble: it was interrupted.
std::optional<Trouble> checkGroup(const config::Group& group, const config::Settings& settings, const Tokens& tokens,
                                  std::optional<base::SecureBytes>& pin, bool& refused, Findings& findings) {
  const auto members = membersOf(group, tokens);
  for (std::size_t i = 0; i < members.size(); ++i)
    append(findings, checkToken(group.members[i], members[i], std::time(nullptr)));
  append(findings, checkAlike(group, members));
  append(findings, checkMechanisms(group, members));
  const std::string subject = "group " + group.label;
  if (!pin) {
    findings.push_back({Weight::Note, subject, "what its members hold was not compared",
                        refused ? "Give its own PIN, with -group: the one given was refused." : "Give -password."});
    return std::nullopt;
  }
  const auto contents = readContents(members, &*pin);
  if (!contents && contents.error().rv == CKR_FUNCTION_CANCELED) return contents.error();
  if (!contents) {
    refused = true;
    pin.reset();
    findings.push_back({Weight::Error, subject, contents.error().what, contents.error().next});
    return std::nullopt;
  }
  append(findings, checkContents(group, *contents));
  append(findings, checkDomain(group, settings, members, *pin));
  return std::nullopt;
}

Reply shownFindings(const Findings& findings) {
  Reply reply{{}, Json{{"findings", Json::array()}}};
  for (const Finding& finding : findings) {
    std::string word = wordFor(finding.weight);
    (*reply.json)["findings"].push_back({{"weight", config::lowered(word)},
                                         {"subject", finding.subject},
                                         {"text", finding.what},
                                         {"remedy", finding.remedy}});
    word.resize(8, ' ');
    reply.text += sentence(word + finding.subject + ": " + finding.what);
    if (!finding.remedy.empty()) reply.text += sentence("        -> " + finding.remedy);
  }
  return reply;
}

Answer doctor(Session& session, const Arguments& arguments) {
  const auto settings = session.settings();
  if (!settings) return Failure{settings.error()};
  std::vector<config::Group> groups = settings->groups;
  if (const auto name = arguments.find("group")) {
    const auto group = findGroup(*settings, *name);
    if (!group) return Failure{group.error()};
    groups = {*group};
  }
  auto pin = givenPin(arguments, "password");
  if (!pin) return Failure{pin.error()};
  Findings findings = checkConfiguration(*settings);
  append(findings, checkCertificates(compose::certificatesOf(*settings), std::time(nullptr)));
  const Tokens tokens(*settings);
  append(findings, checkSources(*settings, tokens.complaints()));
  bool refused = false;
  for (const config::Group& group : groups) {
    if (auto trouble = checkGroup(group, *settings, tokens, *pin, refused, findings))
      return Failure{*std::move(trouble)};
  }
  Reply reply = shownFindings(findings);
  const auto errors = std::count_if(findings.begin(), findings.end(),
                                    [](const Finding& finding) { return finding.weight == Weight::Error; });
  if (errors == 0) return reply;
  return Failure{Trouble{CKR_FUNCTION_FAILED, "errors found: " + std::to_string(errors), "See above what helps.",
                         std::move(reply)}};
}

}  // namespace

std::vector<Command> doctorCommands() {
  return {{"hagroup",
           "doctor",
           "",
           "Looks for what is wrong, and says what helps",
           {groupOption(Need::Optional),
            {"password", Value::Pin, "PIN", Need::Optional,
             "The user's PIN, env:NAME or fd:N: what members hold is compared, too"},
            jsonOption()},
           doctor}};
}

}  // namespace p11ha::cli
