#include "compose/slot_order.h"

#include <algorithm>

namespace p11ha::compose {

std::vector<std::string> slotOrder(std::vector<std::string> local, std::optional<std::set<std::string>> remote,
                                   const std::vector<config::Group>& groups) {
  const auto placeOf = [&](const std::string& serial) { return std::find(local.begin(), local.end(), serial); };
  for (const config::Group& group : groups) {
    // From the last one on: who is missing stands before who is missing after it.
    const std::string* next = nullptr;
    for (auto member = group.members.rbegin(); member != group.members.rend(); ++member) {
      const bool isLocal = placeOf(*member) != local.end();
      if (!isLocal && remote) remote->insert(*member);
      if (!isLocal && !remote) local.insert(next != nullptr ? placeOf(*next) : local.end(), *member);
      next = &*member;
    }
  }
  if (!remote) return local;
  for (const std::string& serial : local) remote->erase(serial);
  local.insert(local.end(), remote->begin(), remote->end());
  return local;
}

}  // namespace p11ha::compose
