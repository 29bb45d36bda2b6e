#include "ha/matching.h"

#include <map>
#include <tuple>

namespace p11ha::ha {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Key = std::tuple<CK_OBJECT_CLASS, CK_ULONG, bool, bool, Bytes, Bytes, Bytes>;

struct Bucket {
  std::vector<std::size_t> entries;
  std::vector<std::size_t> known;
};

Key exactKey(const Identity& i) { return {i.objectClass, i.type, i.token, i.isPrivate, i.material, i.label, i.id}; }
Key nameKey(const Identity& i) { return {i.objectClass, i.type, i.token, i.isPrivate, {}, i.label, i.id}; }
Key materialKey(const Identity& i) { return {i.objectClass, i.type, i.token, false, i.material, {}, {}}; }

}  // namespace

Matches match(const std::vector<InventoryEntry>& entries, const std::vector<Identity>& known) {
  Matches result{std::vector<std::optional<std::size_t>>(entries.size()), std::vector<bool>(entries.size(), false)};
  std::vector<bool> taken(known.size(), false);
  const auto pair = [&](std::size_t entry, std::size_t index) {
    result.known[entry] = index;
    taken[index] = true;
  };

  std::map<Key, Bucket> exact;
  for (std::size_t i = 0; i < entries.size(); ++i) exact[exactKey(entries[i].identity)].entries.push_back(i);
  for (std::size_t i = 0; i < known.size(); ++i) exact[exactKey(known[i])].known.push_back(i);
  for (const auto& [key, bucket] : exact) {
    if (bucket.entries.empty() || bucket.known.empty()) continue;
    const Identity& sample = known[bucket.known.front()];
    const bool several = bucket.entries.size() > 1 || bucket.known.size() > 1;
    if (several && sample.isKey()) {
      // Several keys of one look: with material they are copies of one key, without it nothing tells which is which.
      if (sample.material.empty() || bucket.entries.size() != bucket.known.size()) {
        for (const std::size_t entry : bucket.entries) result.ambiguous[entry] = true;
        for (const std::size_t index : bucket.known) taken[index] = true;
        continue;
      }
    }
    for (std::size_t i = 0; i < std::min(bucket.entries.size(), bucket.known.size()); ++i) {
      pair(bucket.entries[i], bucket.known[i]);
    }
  }

  std::map<Key, Bucket> byMaterial;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Identity& identity = entries[i].identity;
    // A check value is three bytes: too little without the rest.
    const bool tells = !identity.material.empty() && identity.objectClass != CKO_SECRET_KEY;
    if (!result.known[i] && !result.ambiguous[i] && tells) byMaterial[materialKey(identity)].entries.push_back(i);
  }
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (taken[i] || known[i].material.empty()) continue;
    const auto found = byMaterial.find(materialKey(known[i]));
    if (found != byMaterial.end()) found->second.known.push_back(i);
  }
  for (const auto& [key, bucket] : byMaterial) {
    if (bucket.entries.size() == 1 && bucket.known.size() == 1) pair(bucket.entries.front(), bucket.known.front());
  }

  // A key that came wrapped has no check value on some tokens: label and CKA_ID make the claim, which is proved anyway.
  std::map<Key, Bucket> byName;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (!result.known[i] && !result.ambiguous[i] && entries[i].identity.isKey())
      byName[nameKey(entries[i].identity)].entries.push_back(i);
  }
  for (std::size_t i = 0; i < known.size(); ++i) {
    const auto found = taken[i] ? byName.end() : byName.find(nameKey(known[i]));
    if (found != byName.end()) found->second.known.push_back(i);
  }
  for (const auto& [key, bucket] : byName) {
    if (bucket.entries.size() != 1 || bucket.known.size() != 1) continue;
    if (entries[bucket.entries.front()].identity.material.empty() || known[bucket.known.front()].material.empty()) {
      pair(bucket.entries.front(), bucket.known.front());
    }
  }
  return result;
}

}  // namespace p11ha::ha
