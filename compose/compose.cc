#include "compose/compose.h"

#include <sys/random.h>

#include <algorithm>

namespace p11ha::compose {

ha::GroupPolicy basePolicy(const config::Settings& settings, std::uint64_t jitterSeed) {
  ha::GroupPolicy policy;
  policy.recovery = {settings.ha.reconnectAttempts, settings.ha.autoReconnectInterval, jitterSeed};
  policy.recoveryMode = settings.ha.activeRecovery == config::RecoveryMode::ActiveBasic ? ha::RecoveryMode::Basic
                                                                                        : ha::RecoveryMode::Enhanced;
  policy.failoverOnDeactivation = settings.ha.failoverOnDeactivation;
  switch (settings.tuning.cloningPolicy) {
    case config::CloningPolicy::Domain:
      policy.cloning = ha::CloningPolicy::Domain;
      break;
    case config::CloningPolicy::User:
      policy.cloning = ha::CloningPolicy::User;
      break;
    case config::CloningPolicy::None:
      policy.cloning = ha::CloningPolicy::None;
      break;
  }
  policy.unreplicated = settings.tuning.unreplicatedKeys == config::UnreplicatedKeys::Deny
                            ? ha::UnreplicatedKeys::Deny
                            : ha::UnreplicatedKeys::Allow;
  policy.multipartJournal = settings.tuning.multipartJournal;
  policy.callDeadline = settings.tuning.callDeadline;
  policy.keyGenerationDeadline = settings.tuning.keyGenCallDeadline;
  policy.recoverWait = settings.tuning.recoverWait;
  return policy;
}

ha::GroupPolicy policyOf(const config::Group& group, const config::Settings& settings, std::uint64_t jitterSeed) {
  ha::GroupPolicy policy = basePolicy(settings, jitterSeed);
  policy.label = group.label;
  policy.serial = group.serial;
  policy.synchronize = group.synchronize;
  return policy;
}

std::uint64_t drawJitterSeed() {
  std::uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != static_cast<ssize_t>(sizeof seed))
    seed = static_cast<std::uint64_t>(base::now().time_since_epoch().count());
  return seed | 1U;  // 0 would be none at all
}

bool isStandby(const config::Group& group, const std::string& serial) {
  return std::find(group.standby.begin(), group.standby.end(), serial) != group.standby.end();
}

std::string nobodyShows(const config::Group& group, const std::string& serial) {
  return "group " + config::inQuotes(group.label) + ": nobody shows a token with the serial number " +
         config::inQuotes(serial) + "; the member is down until one does";
}

Composition compose(const config::Settings& settings, cryptoki::Modules& modules) {
  Composition composition;
  composition.jitterSeed = drawJitterSeed();
  composition.fleet = std::make_unique<Fleet>(settings, modules, !settings.ha.haOnly, composition.complaints);
  for (const config::Group& group : settings.groups) {
    GroupPlan plan{policyOf(group, settings, composition.jitterSeed), {}};
    for (const std::string& serial : group.members) {
      if (!composition.fleet->shows(serial)) composition.complaints.push_back(nobodyShows(group, serial));
      plan.members.push_back({composition.fleet->member(serial), isStandby(group, serial)});
    }
    composition.groups.push_back(std::move(plan));
  }
  if (!settings.ha.haOnly) composition.memberSlots = composition.fleet->all(settings.groups);
  return composition;
}

}  // namespace p11ha::compose
