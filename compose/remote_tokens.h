// The tokens of the appliances that the settings name.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.h"
#include "cryptoki/member.h"

namespace p11ha::transport {
class Client;
class RemoteMember;
}  // namespace p11ha::transport

namespace p11ha::compose {

/// This process as a client of them. Outlives whoever uses its members. Made by one thread; then any.
class RemoteTokens {
 public:
  /// Asks all servers at once for what they have; blocks for ConnectTimeout at most. What is wrong is added to
  /// `complaints`, a line each. Null where there are no servers.
  static std::unique_ptr<RemoteTokens> make(const config::Settings& settings, std::vector<std::string>& complaints);
  /// What is wrong with the files of this client's certificate, key and authorities; nullopt: nothing. Asks no server.
  static std::optional<std::string> problemOfFiles(const config::Settings& settings);
  ~RemoteTokens();
  RemoteTokens(const RemoteTokens&) = delete;
  RemoteTokens& operator=(const RemoteTokens&) = delete;

  /// The serial numbers that the servers have shown.
  std::vector<std::string> serials() const;
  bool has(const std::string& serial) const { return homes_.contains(serial); }

  /// A member of that serial number: of the server that has shown it, else it is looked for at all of them. One for
  /// each number. It begins to connect.
  std::shared_ptr<cryptoki::Member> member(const std::string& serial);

  /// Why members could not be attached, a line each.
  std::vector<std::string> problems() const;
  /// Ends the connections: whoever is in a call comes back.
  void close();

 private:
  explicit RemoteTokens(std::unique_ptr<transport::Client> client);

  const std::unique_ptr<transport::Client> client_;
  bool unasked_ = false;  // some server has not told what it has
  std::map<std::string, std::size_t> homes_;
  std::map<std::string, std::shared_ptr<transport::RemoteMember>> members_;
};

}  // namespace p11ha::compose
