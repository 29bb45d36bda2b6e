#include "compose/slot_order.h"

#include <algorithm>

namespace p11ha::compose {

std::vector<std::string> slotOrder(std::vector<std::string> local, std::optional<std::set<std::string>> remote,
                                   const std::vector<config::Group>& groups) {
  const auto placeOf = [&](const std::string& serial) { return std::find(local.begin(), local.end(), serial); };
  for (const config::Group& group : groups) {
    // From the last one on: who is missing stands before who is missing after it.
    const std::vector<std::string>& members = group.members;
    for (std::size_t i = members.size(); i-- > 0;) {
      if (placeOf(members[i]) != local.end()) continue;
      if (remote) {
        remote->insert(members[i]);
      } else {
        local.insert(i + 1 < members.size() ? placeOf(members[i + 1]) : local.end(), members[i]);
      }
    }
  }
  if (!remote) return local;
  for (const std::string& serial : local) remote->erase(serial);
  local.insert(local.end(), remote->begin(), remote->end());
  return local;
}

}  // namespace p11ha::compose
