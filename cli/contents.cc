#include "cli/contents.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "cli/pause.h"
#include "cli/pins.h"
#include "cryptoki/return_codes.h"
#include "ha/domain/token_session.h"
#include "ha/inventory.h"
#include "ha/notes/on_member.h"

namespace p11ha::cli {

using base::Failure;

namespace {

using Key = std::tuple<CK_OBJECT_CLASS, CK_ULONG, bool, std::vector<std::uint8_t>, std::vector<std::uint8_t>,
                       std::vector<std::uint8_t>>;

Key keyOf(const ha::Identity& identity) {
  return {identity.objectClass, identity.type, identity.isPrivate, identity.label, identity.id, identity.material};
}

// A key whose copy has no material, or an original that has none itself, is told by its name, as the group does
// (ha/matching.h).
Key nameOf(const ha::Identity& identity) {
  return {identity.objectClass, identity.type, identity.isPrivate, identity.label, identity.id, {}};
}

bool isUsers(const ha::Identity& identity) {
  return identity.token && !ha::isOwn(identity) && !ha::notes::isNote(identity);
}

bool isRefusal(CK_RV rv) {
  return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_EXPIRED ||
         rv == CKR_PIN_INVALID;
}

struct Held {
  CK_RV rv = CKR_OK;
  bool refused = false;
  std::vector<ha::InventoryEntry> entries;
  std::set<CK_OBJECT_HANDLE> sealed;
};

bool isSealed(const ha::domain::OnToken& token, CK_OBJECT_HANDLE key) {
  const CK_ATTRIBUTE_TYPE extractable[] = {CKA_EXTRACTABLE};
  cryptoki::Template answer;
  return token.read(key, extractable, answer).rv == CKR_OK && answer.boolean(CKA_EXTRACTABLE) == false;
}

Held heldBy(ha::domain::TokenSession& session, const base::SecureBytes* pin, Depth depth) {
  Held result;
  result.rv = session.open().rv;
  if (result.rv != CKR_OK) return result;
  if (pin != nullptr) {
    result.rv = session.login(CKU_USER, *pin).rv;
    result.refused = isRefusal(result.rv);
    if (result.rv != CKR_OK) return result;
  }
  const auto wanted = [](CK_OBJECT_HANDLE) { return !Interruptible::happened(); };
  result.rv = ha::readInventory(session.member(), session.token().session, wanted, result.entries).rv;
  std::erase_if(result.entries, [](const ha::InventoryEntry& entry) { return !isUsers(entry.identity); });
  if (depth == Depth::Identity) return result;
  for (const ha::InventoryEntry& entry : result.entries) {
    if (entry.identity.isKey() && isSealed(session.token(), entry.handle)) result.sealed.insert(entry.handle);
  }
  return result;
}

Held heldBy(const Token* token, const base::SecureBytes* pin, Depth depth) {
  if (token == nullptr || !token->isThere()) return {CKR_TOKEN_NOT_PRESENT, false, {}, {}};
  ha::domain::TokenSession session(*token->member);
  return heldBy(session, pin, depth);
}

// Puts what members hold side by side.
class Table {
 public:
  explicit Table(std::size_t members) : members_(members) {}

  void add(std::size_t member, const Held& held) {
    const std::vector<ha::InventoryEntry>& entries = held.entries;
    // Several objects of a member may look alike: the second of one is the second of the other.
    std::map<Key, unsigned> seen;
    std::vector<std::pair<const ha::InventoryEntry*, std::pair<Key, unsigned>>> unknown;
    for (const ha::InventoryEntry& entry : entries) {
      const Key key = keyOf(entry.identity);
      const std::pair numbered{key, seen[key]++};
      const auto known = known_.find(numbered);
      if (known == known_.end()) {
        unknown.emplace_back(&entry, numbered);
      } else {
        items[known->second].handles[member] = entry.handle;
      }
    }
    for (const auto& [entry, numbered] : unknown) {
      const auto alike = namesake(member, entry->identity);
      const std::size_t index = alike.value_or(items.size());
      if (!alike) {
        items.push_back({entry->identity, std::vector<CK_OBJECT_HANDLE>(members_, CK_INVALID_HANDLE),
                         held.sealed.contains(entry->handle)});
        named_.emplace(nameOf(entry->identity), index);
      }
      known_.emplace(numbered, index);
      items[index].handles[member] = entry->handle;
    }
  }

  std::vector<Item> items;

 private:
  // A key of that name which the member was not seen to hold, where one of the two has nothing else to be told by.
  std::optional<std::size_t> namesake(std::size_t member, const ha::Identity& identity) const {
    if (!identity.isKey()) return std::nullopt;
    const auto [begin, end] = named_.equal_range(nameOf(identity));
    const auto found = std::find_if(begin, end, [&](const auto& named) {
      const Item& item = items[named.second];
      return item.handles[member] == CK_INVALID_HANDLE && (identity.material.empty() || item.identity.material.empty());
    });
    return found == end ? std::nullopt : std::optional(found->second);
  }

  const std::size_t members_;
  std::map<std::pair<Key, unsigned>, std::size_t> known_;
  std::multimap<Key, std::size_t> named_;
};

}  // namespace

bool Contents::needsSync() const { return missing() != 0; }

std::optional<bool> Contents::needsSyncAtAll() const {
  if (needsSync()) return true;
  const auto isKnown = [](CK_RV rv) { return rv == CKR_OK || rv == CKR_TOKEN_NOT_PRESENT; };
  const bool allRead = !nothingRead() && std::all_of(read.begin(), read.end(), isKnown);
  return allRead ? std::optional(false) : std::nullopt;
}

std::optional<Trouble> Contents::nothingRead() const {
  if (std::find(read.begin(), read.end(), CKR_OK) != read.end()) return std::nullopt;
  const CK_RV rv = read.empty() ? CKR_TOKEN_NOT_PRESENT : read.front();
  return Trouble{rv, "no member can be read: " + cryptoki::returnCodeName(rv), "Try again once some are there."};
}

std::size_t Contents::missing() const {
  std::size_t lacking = 0;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (read[i] == CKR_OK) lacking += items.size() - count(i);
  }
  return lacking;
}

std::size_t Contents::count(std::size_t member) const {
  return static_cast<std::size_t>(std::count_if(
      items.begin(), items.end(), [&](const Item& item) { return item.handles[member] != CK_INVALID_HANDLE; }));
}

base::Result<Contents, Trouble> readContents(std::span<const Token* const> members, const base::SecureBytes* pin,
                                             Depth depth) {
  Contents contents;
  Table table(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    const Held found = heldBy(members[i], pin, depth);
    if (Interruptible::happened()) return Failure{interrupted("")};
    if (found.refused) return Failure{refusedPin(members[i]->serial(), CKU_USER, found.rv)};
    contents.read.push_back(found.rv);
    table.add(i, found);
  }
  contents.items = std::move(table.items);
  // Tokens list objects in no order of their own.
  std::stable_sort(contents.items.begin(), contents.items.end(), [](const Item& a, const Item& b) {
    return std::tie(a.identity.label, a.identity.objectClass, a.identity.id) <
           std::tie(b.identity.label, b.identity.objectClass, b.identity.id);
  });
  return contents;
}

std::optional<Trouble> removeContents(const Token& token, const base::SecureBytes& pin) {
  // In one session: handles of private objects end with their login.
  ha::domain::TokenSession session(*token.member);
  const Held found = heldBy(session, &pin, Depth::Identity);
  CK_RV rv = found.rv;
  for (const ha::InventoryEntry& entry : found.entries) {
    if (rv == CKR_OK) rv = session.token().destroy(entry.handle).rv;
  }
  if (rv == CKR_OK) return std::nullopt;
  return Trouble{rv, "member " + token.serial() + ": not all objects can be removed: " + cryptoki::returnCodeName(rv),
                 "Those that could be are gone; the configuration was not changed."};
}

std::string kindOf(const ha::Identity& identity) {
  switch (identity.objectClass) {
    case CKO_PRIVATE_KEY:
      return "Private Key";
    case CKO_PUBLIC_KEY:
      return "Public Key";
    case CKO_SECRET_KEY:
      return "Symmetric Key";
    case CKO_CERTIFICATE:
      return "Certificate";
    case CKO_DATA:
      return "Data";
    case CKO_DOMAIN_PARAMETERS:
      return "Domain Parameters";
    default:
      return "Other";
  }
}

std::string labelOf(const ha::Identity& identity) { return escaped(plainLabelOf(identity)); }

std::string plainLabelOf(const ha::Identity& identity) { return {identity.label.begin(), identity.label.end()}; }

}  // namespace p11ha::cli
