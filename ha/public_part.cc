#include "ha/public_part.h"

#include <algorithm>
#include <map>

namespace p11ha::ha {
namespace {

struct Kin {
  std::vector<std::size_t> privateKeys;
  std::vector<std::size_t> publicKeys;
};

}  // namespace

std::vector<Undecided> lendMaterial(std::vector<Identity>& identities) {
  std::map<std::pair<CK_ULONG, std::vector<std::uint8_t>>, Kin> families;
  for (std::size_t i = 0; i < identities.size(); ++i) {
    const Identity& identity = identities[i];
    Kin& kin = families[{identity.type, identity.id}];
    if (identity.objectClass == CKO_PRIVATE_KEY) kin.privateKeys.push_back(i);
    if (identity.objectClass == CKO_PUBLIC_KEY && !identity.material.empty()) kin.publicKeys.push_back(i);
  }
  std::vector<Undecided> undecided;
  for (auto& [name, kin] : families) {
    if (kin.publicKeys.empty()) continue;
    const bool alone = !name.second.empty() && kin.privateKeys.size() == 1 && kin.publicKeys.size() == 1;
    for (const std::size_t key : kin.privateKeys) {
      Identity& identity = identities[key];
      if (!identity.material.empty()) continue;
      if (alone) {
        identity.material = identities[kin.publicKeys.front()].material;
        identity.lent = true;
        continue;
      }
      Undecided& open = undecided.emplace_back(Undecided{key, kin.publicKeys});
      std::stable_partition(open.publicKeys.begin(), open.publicKeys.end(),
                            [&](std::size_t each) { return identities[each].label == identity.label; });
    }
  }
  return undecided;
}

}  // namespace p11ha::ha
