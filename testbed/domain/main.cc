// p11ha-domain: sets a group's cloning domain up (CLONING.md), until the manager does.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "cli/domain_text.h"
#include "cli/pin_source.h"
#include "compose/compose.h"
#include "config/load.h"
#include "config/locate.h"
#include "config/settings.h"
#include "cryptoki/modules.h"
#include "ha/domain/domain.h"

namespace {

using namespace p11ha;
using ha::domain::Candidate;
using ha::domain::Report;

struct Options {
  std::string configuration = config::locate(config::Environment::ofProcess());
  std::string group;
  cli::PinSource userPin{"P11HA_PIN", {}};
  cli::PinSource officerPin{"P11HA_SO_PIN", {}};
  bool plan = false;
  bool renew = false;
  bool quiet = false;
  std::string removed;
};

int failed(const std::string& text) {
  std::fprintf(stderr, "p11ha-domain: %s\n", text.c_str());
  return 1;
}

// The group that is meant: the only one, or the one of that label.
const config::Group* groupOf(const config::Settings& settings, const std::string& label) {
  const auto found = std::find_if(settings.groups.begin(), settings.groups.end(),
                                  [&](const config::Group& group) { return group.label == label; });
  if (found != settings.groups.end()) return &*found;
  return label.empty() && settings.groups.size() == 1 ? &settings.groups.front() : nullptr;
}

// The configuration, with what it says to nobody but us: one slot a member, each token's login our own.
std::optional<config::Settings> settingsOf(const Options& options) {
  const auto loaded = config::load(options.configuration);
  if (!loaded) {
    failed(loaded.error().format());
    return std::nullopt;
  }
  config::Settings settings = config::read((*loaded).document);
  for (const config::Diagnostic& finding : settings.diagnostics)
    std::fprintf(stderr, "%s: %s\n", options.configuration.c_str(), finding.format().c_str());
  if (settings.hasErrors()) return std::nullopt;
  settings.ha.haOnly = true;
  return settings;
}

struct Pins {
  std::optional<base::SecureBytes> user;
  std::optional<base::SecureBytes> officer;
};

std::optional<Pins> pinsOf(const Options& options) {
  auto user = cli::readPin(options.userPin);
  auto officer = cli::readPin(options.officerPin);
  for (const auto* pin : {&user, &officer}) {
    if (*pin) continue;
    failed(pin->error());
    return std::nullopt;
  }
  return Pins{std::move(*user), std::move(*officer)};
}

void showProgress(const std::string& serial, const std::string& step) {
  std::fprintf(stderr, "member %s: %s\n", serial.c_str(), step.c_str());
}

int run(const Options& options, const std::string& command) {
  auto settings = settingsOf(options);
  if (!settings) return 1;
  const config::Group* const group = groupOf(*settings, options.group);
  if (group == nullptr) {
    if (!options.group.empty()) return failed("there is no group \"" + options.group + "\"");
    return failed(settings->groups.empty() ? "the configuration has no group" : "which group? (--group LABEL)");
  }
  const bool knows = std::find(group->members.begin(), group->members.end(), options.removed) != group->members.end();
  if (!options.removed.empty() && !knows)
    return failed("the group has no member \"" + options.removed +
                  "\" (it is removed from the configuration afterwards)");
  const auto pins = pinsOf(options);
  if (!pins) return 1;

  // What is asked for is for this group alone.
  settings->groups = {*group};
  static auto& modules = *new cryptoki::Modules;  // never destroyed, as what it loads
  const compose::Composition composition = compose::compose(*settings, modules);
  for (const std::string& complaint : composition.complaints) std::fprintf(stderr, "%s\n", complaint.c_str());
  std::vector<Candidate> candidates;
  for (const ha::MemberSpec& member : composition.groups.front().members) {
    if (member.token->serial() == options.removed) continue;
    candidates.push_back(
        {*member.token, pins->user ? &*pins->user : nullptr, pins->officer ? &*pins->officer : nullptr});
  }
  const ha::domain::Progress progress = options.quiet ? ha::domain::Progress() : showProgress;
  Report report;
  if (command == "status") {
    report = ha::domain::status(candidates);
    std::fputs(cli::statusText(report).c_str(), stdout);
  } else {
    report = command == "join" ? ha::domain::join(candidates, {options.plan, options.renew}, progress)
                               : ha::domain::renewAfterRemoval(candidates, options.plan, progress);
    std::fputs(cli::joinText(report).c_str(), stdout);
  }
  composition.fleet->close();
  return cli::exitStatus(report);
}

}  // namespace

int main(int argc, char** argv) {
  // It knows PINs.
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  Options options;
  CLI::App app("Sets up the cloning domain of a group: the keys by which its members' keys travel between them.");
  app.footer(
      "Whoever knows the Security Officer's PIN, or the user's PIN and holds the disk of one member, can get at every "
      "key\n"
      "that is cloned: a group is as strong as its weakest store. Giving the Security Officer's PIN here is the "
      "consent.\n"
      "Status 0: done; 1: not done, or not on all members; 2: wrong usage.");
  app.add_option("-c,--config", options.configuration, "The configuration file")->capture_default_str();
  app.add_option("-g,--group", options.group, "Label of the group, where there are several");
  app.add_option("--pin-env", options.userPin.variable, "The variable that holds the user's PIN")
      ->capture_default_str();
  app.add_option("--pin-fd", options.userPin.descriptor,
                 "The file descriptor to read it from instead, up to a line's end");
  app.add_option("--so-pin-env", options.officerPin.variable, "Likewise the Security Officer's")->capture_default_str();
  app.add_option("--so-pin-fd", options.officerPin.descriptor, "Likewise");
  app.add_flag("-q,--quiet", options.quiet, "Do not say what is being done");
  app.require_subcommand(1);
  app.fallthrough();  // options of all commands may follow the command
  CLI::App* const join =
      app.add_subcommand("join", "Examines the members and gives them all one new generation of keys");
  join->add_flag("--dryrun", options.plan, "Examine them, say what would be done, and make nothing");
  join->add_flag("--renew", options.renew, "A new generation, also where all members hold one already");
  CLI::App* const remove =
      app.add_subcommand("remove", "A new generation for all members but one; none before it is used again");
  remove->add_option("SERIAL", options.removed, "The member that is to go")->required();
  remove->add_flag("--dryrun", options.plan, "Examine the others, say what would be done, and make nothing");
  app.add_subcommand("status", "Which generations each member holds");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run(options, app.get_subcommands().front()->get_name());
}
