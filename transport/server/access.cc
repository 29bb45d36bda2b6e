#include "transport/server/access.h"

#include <algorithm>

namespace p11ha::transport {

bool mayUse(const std::vector<AllowedClient>& clients, const ClientIdentity& client, const Partition& partition) {
  return std::any_of(clients.begin(), clients.end(), [&](const AllowedClient& allowed) {
    const bool is = allowed.fingerprint.empty() ? !allowed.name.empty() && allowed.name == client.name
                                                : allowed.fingerprint == client.fingerprint;
    return is && (allowed.all || std::any_of(allowed.partitions.begin(), allowed.partitions.end(),
                                             [&](const std::string& name) { return partition.isCalled(name); }));
  });
}

std::vector<PartitionInfo> partitionsFor(const ClientIdentity& client, const std::vector<AllowedClient>& clients,
                                         const std::vector<Partition>& partitions, const Standings& standings) {
  std::vector<PartitionInfo> infos;
  for (const Partition& partition : partitions) {
    if (!mayUse(clients, client, partition)) continue;
    const auto standing = standings.find(partition.serial);
    const PartitionState state =
        standing == standings.end() ? PartitionState::Active : standing->second.stateFor(client);
    infos.push_back({partition.serial, partition.label, state, partition.authentication});
  }
  return infos;
}

}  // namespace p11ha::transport
