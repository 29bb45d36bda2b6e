#include "ha/matching.h"

#include <algorithm>
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

Matches match(const std::vector<InventoryEntry>& entries, const std::vector<Identity>& known,
              const MayBeRenamed& mayBeRenamed) {
  Matches result{std::vector<std::optional<std::size_t>>(entries.size()), std::vector<bool>(entries.size(), false),
                 std::vector<bool>(known.size(), false)};
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
      // Several keys of one look: with material of their own they are copies of one key, without it nothing tells which
      // is which.
      const bool lent =
          std::any_of(bucket.entries.begin(), bucket.entries.end(), [&](auto i) { return entries[i].identity.lent; }) ||
          std::any_of(bucket.known.begin(), bucket.known.end(), [&](auto i) { return known[i].lent; });
      if (sample.material.empty() || lent || bucket.entries.size() != bucket.known.size()) {
        for (const std::size_t entry : bucket.entries) result.ambiguous[entry] = true;
        for (const std::size_t index : bucket.known) taken[index] = result.knownAmbiguous[index] = true;
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
    std::map<std::size_t, std::vector<std::size_t>> knownBy;  // entry
    std::map<std::size_t, std::size_t> entriesOf;             // known: how many
    for (const std::size_t entry : bucket.entries) {
      for (const std::size_t index : bucket.known) {
        if (!mayBeRenamed(entry, index)) continue;
        knownBy[entry].push_back(index);
        ++entriesOf[index];
      }
    }
    for (const auto& [entry, indices] : knownBy) {
      if (indices.size() == 1 && entriesOf[indices.front()] == 1) pair(entry, indices.front());
    }
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
    const auto tells = [](const Identity& identity) { return !identity.material.empty(); };
    const bool entriesTell =
        std::all_of(bucket.entries.begin(), bucket.entries.end(), [&](auto i) { return tells(entries[i].identity); });
    const bool knownTell =
        std::all_of(bucket.known.begin(), bucket.known.end(), [&](auto i) { return tells(known[i]); });
    if (bucket.known.empty() || (entriesTell && knownTell)) continue;
    if (bucket.entries.size() == 1 && bucket.known.size() == 1) {
      pair(bucket.entries.front(), bucket.known.front());
      continue;
    }
    for (const std::size_t entry : bucket.entries) {
      if (!knownTell || !tells(entries[entry].identity)) result.ambiguous[entry] = true;
    }
    for (const std::size_t index : bucket.known) {
      if (!entriesTell || !tells(known[index])) result.knownAmbiguous[index] = true;
    }
  }
  return result;
}

}  // namespace p11ha::ha
