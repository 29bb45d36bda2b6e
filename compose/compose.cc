#include "compose/compose.h"

#include <algorithm>
#include <map>

#include "compose/shared_login.h"
#include "compose/unseen_member.h"
#include "cryptoki/return_codes.h"

namespace p11ha::compose {

using cryptoki::LocalMember;
using cryptoki::LocalModule;
using cryptoki::Member;

namespace {

// The tokens of the modules and of the servers, by the serial number that the configuration knows them by.
class Tokens {
 public:
  Tokens(const config::Settings& settings, cryptoki::Modules& modules, Composition& composition)
      : composition_(composition) {
    std::map<std::pair<std::string, std::string>, std::shared_ptr<LocalModule>> opened;
    for (const config::Module& module : settings.tuning.modules) {
      auto& library = opened[{module.path, module.reserved}];
      if (library == nullptr) {
        auto loaded = modules.open({module.path, module.reserved});
        if (!loaded) {
          complain(loaded.error());
          continue;
        }
        library = *loaded;
        composition_.modules.push_back(library);
      }
      addTokens(module, library);
    }
    composition_.remote = RemoteTokens::make(settings, composition_.complaints);
    // To groups only those matter that they name.
    if (settings.ha.haOnly || composition_.remote == nullptr) return;
    for (const std::string& serial : composition_.remote->serials()) {
      if (!bySerial_.contains(serial)) add(serial, composition_.remote->member(serial));
    }
  }

  std::shared_ptr<Member> find(const std::string& serial) {
    const auto found = bySerial_.find(serial);
    if (found != bySerial_.end()) return found->second;
    auto member = isRemote(serial) ? composition_.remote->member(serial) : unseen(serial);
    bySerial_.emplace(serial, member);
    composition_.tokens.push_back(member);
    return member;
  }
  bool has(const std::string& serial) const { return bySerial_.contains(serial) || isRemote(serial); }
  void complain(std::string line) { composition_.complaints.push_back(std::move(line)); }

 private:
  bool isRemote(const std::string& serial) const {
    return composition_.remote != nullptr && composition_.remote->has(serial);
  }

  std::shared_ptr<Member> unseen(const std::string& serial) {
    std::vector<std::shared_ptr<Member>> candidates;
    for (const auto& module : composition_.modules)
      candidates.push_back(std::make_shared<LocalMember>(module, serial, std::nullopt));
    if (composition_.remote != nullptr) candidates.push_back(composition_.remote->member(serial));
    return std::make_shared<UnseenMember>(serial, std::move(candidates));
  }

  void addTokens(const config::Module& module, const std::shared_ptr<LocalModule>& library) {
    if (module.slot) {
      std::string serial = module.serial;
      if (const auto tokens = library->tokens(); serial.empty() && tokens) {
        for (const auto& token : *tokens) {
          if (token.slot == *module.slot) serial = token.serial;
        }
      }
      if (serial.empty())
        return complain("module " + module.path + ": no token in slot " + std::to_string(*module.slot));
      return add(serial, std::make_shared<LocalMember>(library, serial, static_cast<CK_SLOT_ID>(*module.slot)));
    }
    const auto tokens = library->tokens();
    if (!tokens) {
      return complain("module " + module.path + ": its C_GetSlotList answers " +
                      cryptoki::returnCodeName(tokens.error()));
    }
    if (!module.serial.empty()) {
      if (tokens->empty())
        return complain("module " + module.path + ": it shows no token to be called " + module.serial);
      return add(module.serial, std::make_shared<LocalMember>(library, module.serial, tokens->front().slot));
    }
    for (const auto& token : *tokens) {
      if (!token.serial.empty()) add(token.serial, std::make_shared<LocalMember>(library, token.serial, std::nullopt));
    }
  }

  void add(const std::string& serial, std::shared_ptr<Member> token) {
    if (!bySerial_.emplace(serial, token).second) return;
    composition_.tokens.push_back(std::move(token));
  }

  Composition& composition_;
  std::map<std::string, std::shared_ptr<Member>> bySerial_;
};

// What a slot is given of a token: the token itself, or where several slots show it, a view with a login of its own.
class Views {
 public:
  explicit Views(bool several) : several_(several) {}

  std::shared_ptr<Member> of(const std::shared_ptr<Member>& token) {
    if (!several_) return token;
    auto& login = logins_[token.get()];
    if (login == nullptr) login = std::make_shared<SharedLogin>(token);
    return std::make_shared<ViewMember>(login);
  }

 private:
  const bool several_;
  std::map<const Member*, std::shared_ptr<SharedLogin>> logins_;
};

}  // namespace

ha::GroupPolicy basePolicy(const config::Settings& settings) {
  ha::GroupPolicy policy;
  policy.recovery = {settings.ha.reconnectAttempts, settings.ha.autoReconnectInterval};
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
  return policy;
}

ha::GroupPolicy policyOf(const config::Group& group, const config::Settings& settings) {
  ha::GroupPolicy policy = basePolicy(settings);
  policy.label = group.label;
  policy.serial = group.serial;
  policy.synchronize = group.synchronize;
  return policy;
}

Composition compose(const config::Settings& settings, cryptoki::Modules& modules) {
  Composition composition;
  Tokens tokens(settings, modules, composition);
  Views views(!settings.ha.haOnly);
  for (const config::Group& group : settings.groups) {
    GroupPlan plan{policyOf(group, settings), {}};
    for (const std::string& serial : group.members) {
      if (!tokens.has(serial)) {
        tokens.complain("group " + config::inQuotes(group.label) + ": nobody shows a token with the serial number " +
                        config::inQuotes(serial) + "; the member is down until one does");
      }
      const bool standby = std::find(group.standby.begin(), group.standby.end(), serial) != group.standby.end();
      plan.members.push_back({views.of(tokens.find(serial)), standby});
    }
    composition.groups.push_back(std::move(plan));
  }
  if (!settings.ha.haOnly) {
    for (const auto& token : composition.tokens) composition.memberSlots.push_back(views.of(token));
  }
  return composition;
}

}  // namespace p11ha::compose
