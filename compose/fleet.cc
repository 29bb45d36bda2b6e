#include "compose/fleet.h"

#include "compose/slot_order.h"
#include "cryptoki/return_codes.h"

namespace p11ha::compose {

using cryptoki::LocalMember;
using cryptoki::LocalModule;
using cryptoki::Member;

Fleet::Fleet(const config::Settings& settings, cryptoki::Modules& modules, bool several,
             std::vector<std::string>& complaints)
    : loader_(modules), several_(several) {
  extend(settings, complaints);
}

Fleet::~Fleet() = default;

void Fleet::extend(const config::Settings& settings, std::vector<std::string>& complaints) {
  for (const config::Module& module : settings.tuning.modules) {
    if (sources_.emplace(module.path, module.reserved, module.slot, module.serial).second) open(module, complaints);
  }
  connect(settings, complaints);
}

void Fleet::open(const config::Module& module, std::vector<std::string>& complaints) {
  auto& library = opened_[{module.path, module.reserved}];
  if (library == nullptr) {
    auto loaded = loader_.open({module.path, module.reserved});
    if (!loaded) {
      complaints.push_back(loaded.error());
      return;
    }
    library = *loaded;
    base::Lock lock(mutex_);
    modules_.push_back(library);
    for (const auto& [serial, member] : unseen_)
      member->lookAt(std::make_shared<LocalMember>(library, serial, std::nullopt));
  }
  addTokens(module, library, complaints);
}

void Fleet::addTokens(const config::Module& module, const std::shared_ptr<LocalModule>& library,
                      std::vector<std::string>& complaints) {
  if (module.slot) {
    std::string serial = module.serial;
    if (const auto tokens = library->tokens(); serial.empty() && tokens) {
      for (const auto& token : *tokens) {
        if (token.slot == *module.slot) serial = token.serial;
      }
    }
    if (serial.empty()) {
      complaints.push_back("module " + module.path + ": no token in slot " + std::to_string(*module.slot));
      return;
    }
    add(serial, std::make_shared<LocalMember>(library, serial, static_cast<CK_SLOT_ID>(*module.slot)));
    return;
  }
  const auto tokens = library->tokens();
  if (!tokens) {
    complaints.push_back("module " + module.path + ": its C_GetSlotList answers " +
                         cryptoki::returnCodeName(tokens.error()));
    return;
  }
  if (!module.serial.empty()) {
    if (tokens->empty()) {
      complaints.push_back("module " + module.path + ": it shows no token to be called " + module.serial);
      return;
    }
    add(module.serial, std::make_shared<LocalMember>(library, module.serial, tokens->front().slot));
    return;
  }
  for (const auto& token : *tokens) {
    if (!token.serial.empty()) add(token.serial, std::make_shared<LocalMember>(library, token.serial, std::nullopt));
  }
}

void Fleet::connect(const config::Settings& settings, std::vector<std::string>& complaints) {
  config::Settings further = settings;
  std::erase_if(further.client.servers,
                [this](const config::Server& server) { return !servers_.emplace(server.name, server.port).second; });
  auto remote = RemoteTokens::make(further, complaints);
  if (remote == nullptr) return;
  base::Lock lock(mutex_);
  if (closed_) remote->close();
  for (const auto& [serial, member] : unseen_) member->lookAt(remote->member(serial));
  remotes_.push_back(std::move(remote));
}

void Fleet::add(const std::string& serial, std::shared_ptr<Member> token) {
  base::Lock lock(mutex_);
  if (const auto unseen = unseen_.find(serial); unseen != unseen_.end()) {
    unseen->second->lookAt(std::move(token));
  } else if (bySerial_.emplace(serial, std::move(token)).second) {
    local_.push_back(serial);
  }
}

RemoteTokens* Fleet::homeOf(const std::string& serial) const {
  for (const auto& remote : remotes_) {
    if (remote->has(serial)) return remote.get();
  }
  return nullptr;
}

bool Fleet::shows(const std::string& serial) const {
  base::Lock lock(mutex_);
  const auto unseen = unseen_.find(serial);
  const bool isKnown = unseen == unseen_.end() ? bySerial_.contains(serial) : unseen->second->isFound();
  return isKnown || homeOf(serial) != nullptr;
}

const std::shared_ptr<Member>& Fleet::token(const std::string& serial) {
  auto& token = bySerial_[serial];
  if (token != nullptr) return token;
  RemoteTokens* const home = homeOf(serial);
  token = home != nullptr ? home->member(serial) : unseen(serial);
  return token;
}

std::shared_ptr<Member> Fleet::unseen(const std::string& serial) {
  std::vector<std::shared_ptr<Member>> candidates;
  for (const auto& module : modules_) candidates.push_back(std::make_shared<LocalMember>(module, serial, std::nullopt));
  for (const auto& remote : remotes_) candidates.push_back(remote->member(serial));
  return unseen_[serial] = std::make_shared<UnseenMember>(serial, std::move(candidates));
}

std::shared_ptr<Member> Fleet::viewOf(const std::shared_ptr<Member>& token) {
  if (!several_) return token;
  auto& login = logins_[token.get()];
  if (login == nullptr) login = std::make_shared<SharedLogin>(token);
  return std::make_shared<ViewMember>(login);
}

std::shared_ptr<Member> Fleet::member(const std::string& serial) {
  base::Lock lock(mutex_);
  return viewOf(token(serial));
}

std::vector<std::shared_ptr<Member>> Fleet::all(const std::vector<config::Group>& groups) {
  base::Lock lock(mutex_);
  std::optional<std::set<std::string>> elsewhere;
  for (const auto& remote : remotes_) {
    const std::vector<std::string> serials = remote->serials();
    if (!elsewhere) elsewhere.emplace();
    elsewhere->insert(serials.begin(), serials.end());
  }
  std::vector<std::shared_ptr<Member>> views;
  for (const std::string& serial : slotOrder(local_, std::move(elsewhere), groups))
    views.push_back(viewOf(token(serial)));
  return views;
}

bool Fleet::connects() const {
  base::Lock lock(mutex_);
  return !remotes_.empty();
}

std::vector<std::string> Fleet::problems() const {
  base::Lock lock(mutex_);
  std::vector<std::string> lines;
  for (const auto& remote : remotes_) {
    const std::vector<std::string> own = remote->problems();
    lines.insert(lines.end(), own.begin(), own.end());
  }
  return lines;
}

void Fleet::close() {
  base::Lock lock(mutex_);
  closed_ = true;
  for (const auto& remote : remotes_) remote->close();
}

std::vector<std::shared_ptr<LocalModule>> Fleet::modules() const {
  base::Lock lock(mutex_);
  return modules_;
}

}  // namespace p11ha::compose
