#include "compose/remote_tokens.h"

#include <algorithm>

#include "transport/client/client.h"

namespace p11ha::compose {
namespace {

transport::ClientSettings clientSettings(const config::Settings& settings) {
  const config::Client& client = settings.client;
  transport::ClientSettings result;
  result.tls = {client.caFile, client.certificateFile, client.privateKeyFile};
  for (const config::Server& server : client.servers)
    result.servers.push_back({server.name, server.port, client.tcpKeepAlive});
  result.connectTimeout = settings.tuning.connectTimeout;
  result.link.silence = settings.tuning.heartbeatInterval * settings.tuning.heartbeatMisses;
  result.callDeadline = std::min(settings.tuning.callDeadline, client.receiveTimeout);
  result.keyGenerationDeadline = settings.tuning.keyGenCallDeadline;
  return result;
}

// Says it where the file is named that it is about.
std::string blame(const config::Client& client, const std::string& problem) {
  const std::string* const paths[] = {&client.caFile, &client.certificateFile, &client.privateKeyFile};
  for (std::size_t i = 0; i < std::size(paths) && i < client.files.size(); ++i) {
    if (!problem.starts_with(*paths[i] + ":")) continue;
    config::Diagnostic diagnostic = client.files[i];
    diagnostic.text = problem + "; remote members are down until it is mended";
    return diagnostic.format();
  }
  return problem;
}

}  // namespace

std::unique_ptr<RemoteTokens> RemoteTokens::make(const config::Settings& settings,
                                                 std::vector<std::string>& complaints) {
  if (settings.client.servers.empty()) return nullptr;
  auto client = transport::Client::make(clientSettings(settings));
  if (!client) {
    complaints.push_back(client.error());
    return nullptr;
  }
  std::unique_ptr<RemoteTokens> tokens(new RemoteTokens(std::move(*client)));
  if (const auto problem = tokens->client_->problemOfFiles()) {
    complaints.push_back(blame(settings.client, *problem));
    tokens->unasked_ = true;
    return tokens;
  }
  for (const transport::Client::Listing& listing : tokens->client_->list()) {
    if (!listing.problem.empty()) {
      complaints.push_back(listing.problem);
      tokens->unasked_ = true;
    } else if (listing.partitions.empty()) {
      complaints.push_back("server " + tokens->client_->settings().servers[listing.server].text() +
                           ": it has no partition for this client's certificate");
    }
    for (const transport::PartitionInfo& partition : listing.partitions)
      tokens->homes_.try_emplace(partition.serial, listing.server);
  }
  return tokens;
}

std::optional<std::string> RemoteTokens::problemOfFiles(const config::Settings& settings) {
  const auto client = transport::Client::make(clientSettings(settings));
  return client ? (*client)->problemOfFiles() : std::optional(client.error());
}

RemoteTokens::RemoteTokens(std::unique_ptr<transport::Client> client) : client_(std::move(client)) {}

RemoteTokens::~RemoteTokens() = default;

std::vector<std::string> RemoteTokens::serials() const {
  std::vector<std::string> result;
  for (const auto& [serial, home] : homes_) result.push_back(serial);
  return result;
}

std::shared_ptr<cryptoki::Member> RemoteTokens::member(const std::string& serial) {
  auto& member = members_[serial];
  if (member != nullptr) return member;
  const auto home = homes_.find(serial);
  member = std::make_shared<transport::RemoteMember>(*client_, serial,
                                                     home == homes_.end() ? std::nullopt : std::optional(home->second));
  if (home != homes_.end()) {
    member->beginAttach();
  } else {
    member->notShown(unasked_ ? CKR_DEVICE_ERROR : CKR_TOKEN_NOT_PRESENT);
  }
  return member;
}

std::vector<std::string> RemoteTokens::problems() const {
  std::vector<std::string> result;
  for (const auto& [serial, member] : members_) {
    if (const std::string problem = member->problem(); homes_.contains(serial) && !problem.empty())
      result.push_back(std::string("member ").append(serial).append(": ").append(problem));
  }
  return result;
}

void RemoteTokens::close() {
  client_->end();
  for (const auto& [serial, member] : members_) member->close();
}

}  // namespace p11ha::compose
