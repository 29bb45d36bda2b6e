// The tokens of all modules and servers that the configuration names, for as long as the process is initialised.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "compose/remote_tokens.h"
#include "compose/shared_login.h"
#include "compose/unseen_member.h"
#include "config/settings.h"
#include "cryptoki/modules.h"

namespace p11ha::compose {

/// Owned by whoever composes the process; outlives its members' users. extend() is one thread's at a time; all else any
/// thread's.
class Fleet {
 public:
  /// As extend(). `several`: more slots than one may show a token (HAOnly = 0), each with a login of its own.
  Fleet(const config::Settings& settings, cryptoki::Modules& modules, bool several,
        std::vector<std::string>& complaints);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  /// Loads and initialises the modules that it does not have yet, once each, and asks the servers that it does not
  /// know; what it has stays as it is. A module that fails costs its members only, as does a server: a line is added to
  /// `complaints`. Members that nobody has shown so far are looked for there, too. Blocks as modules do, and for
  /// ConnectTimeout where a server does not answer.
  void extend(const config::Settings& settings, std::vector<std::string>& complaints) P11HA_EXCLUDES(mutex_);

  /// Some module or server shows a token of that serial number.
  bool shows(const std::string& serial) const P11HA_EXCLUDES(mutex_);

  /// For one slot: the token of that serial number, or, where several slots may show it, a view of it. One that nobody
  /// shows is looked for again by its attach().
  std::shared_ptr<cryptoki::Member> member(const std::string& serial) P11HA_EXCLUDES(mutex_);
  /// All there are and the members of these groups, for a slot each, in their order (compose/slot_order.h).
  std::vector<std::shared_ptr<cryptoki::Member>> all(const std::vector<config::Group>& groups) P11HA_EXCLUDES(mutex_);

  /// It has members elsewhere.
  bool connects() const P11HA_EXCLUDES(mutex_);
  /// Why members could not be attached, a line each.
  std::vector<std::string> problems() const P11HA_EXCLUDES(mutex_);
  /// Ends the connections, those to come too: whoever is in a call on one of them comes back.
  void close() P11HA_EXCLUDES(mutex_);

  /// The modules, to be taken leave of.
  std::vector<std::shared_ptr<cryptoki::LocalModule>> modules() const P11HA_EXCLUDES(mutex_);

 private:
  using Server = std::pair<std::string, std::uint16_t>;
  using Source = std::tuple<std::string, std::string, std::optional<std::uint64_t>, std::string>;

  void open(const config::Module& module, std::vector<std::string>& complaints);
  void addTokens(const config::Module& module, const std::shared_ptr<cryptoki::LocalModule>& library,
                 std::vector<std::string>& complaints);
  void connect(const config::Settings& settings, std::vector<std::string>& complaints);
  void add(const std::string& serial, std::shared_ptr<cryptoki::Member> token) P11HA_EXCLUDES(mutex_);
  RemoteTokens* homeOf(const std::string& serial) const P11HA_REQUIRES(mutex_);
  const std::shared_ptr<cryptoki::Member>& token(const std::string& serial) P11HA_REQUIRES(mutex_);
  std::shared_ptr<cryptoki::Member> unseen(const std::string& serial) P11HA_REQUIRES(mutex_);
  std::shared_ptr<cryptoki::Member> viewOf(const std::shared_ptr<cryptoki::Member>& token) P11HA_REQUIRES(mutex_);

  cryptoki::Modules& loader_;
  const bool several_;
  std::set<Source> sources_;  // of extend(): entries that were looked at
  std::set<Server> servers_;  // likewise
  std::map<std::pair<std::string, std::string>, std::shared_ptr<cryptoki::LocalModule>> opened_;  // likewise

  mutable base::Mutex mutex_;
  bool closed_ P11HA_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<RemoteTokens>> remotes_ P11HA_GUARDED_BY(mutex_);  // one for each time there were servers
  std::vector<std::shared_ptr<cryptoki::LocalModule>> modules_ P11HA_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<cryptoki::Member>> bySerial_ P11HA_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<UnseenMember>> unseen_ P11HA_GUARDED_BY(mutex_);  // of these
  std::vector<std::string> local_ P11HA_GUARDED_BY(mutex_);  // those that modules show, as they came
  std::map<const cryptoki::Member*, std::shared_ptr<SharedLogin>> logins_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::compose
