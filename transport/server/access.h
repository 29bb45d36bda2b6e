// Which client may use which partition, and how the partitions are. Pure.
#pragma once

#include <map>
#include <set>

#include "transport/server/settings.h"

namespace p11ha::transport {

/// A partition as it was found at the start.
struct Partition {
  std::string serial;
  std::string label;
  std::size_t module = 0;
  Authentication authentication = Authentication::Password;
  base::SecureBytes pedPin;

  bool isCalled(std::string_view name) const { return name == serial || name == label; }
};

/// Who a client is, by its certificate.
struct ClientIdentity {
  std::string name;
  std::string fingerprint;

  bool operator==(const ClientIdentity&) const = default;
};

/// How a partition is, for all clients and for those from which it was taken.
struct Standing {
  bool deactivated = false;
  /// How often it was deactivated: each time ends the logins of that moment, even if it is active again at once.
  std::uint64_t deactivations = 0;
  bool revoked = false;               // from all clients
  std::set<std::string> revokedFrom;  // by name

  PartitionState stateFor(const ClientIdentity& client) const {
    if (revoked || revokedFrom.contains(client.name)) return PartitionState::Revoked;
    return deactivated ? PartitionState::Deactivated : PartitionState::Active;
  }
};
using Standings = std::map<std::string, Standing>;  // by serial

/// Do the settings let the client use the partition? Revoking is another matter.
bool mayUse(const std::vector<AllowedClient>& clients, const ClientIdentity& client, const Partition& partition);

/// The partitions that a client is told of, as they are for it.
std::vector<PartitionInfo> partitionsFor(const ClientIdentity& client, const std::vector<AllowedClient>& clients,
                                         const std::vector<Partition>& partitions, const Standings& standings);

}  // namespace p11ha::transport
