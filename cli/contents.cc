#include "cli/contents.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "cli/pins.h"
#include "cryptoki/return_codes.h"
#include "ha/domain/token_session.h"
#include "ha/inventory.h"
#include "ha/notes/on_member.h"
#include "halog/escape.h"

namespace p11ha::cli {

using base::Failure;

namespace {

using Key = std::tuple<CK_OBJECT_CLASS, CK_ULONG, bool, std::vector<std::uint8_t>, std::vector<std::uint8_t>,
                       std::vector<std::uint8_t>>;

Key keyOf(const ha::Identity& identity) {
  return {identity.objectClass, identity.type, identity.isPrivate, identity.label, identity.id, identity.material};
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
};

Held heldBy(ha::domain::TokenSession& session, const base::SecureBytes* pin) {
  Held result;
  result.rv = session.open().rv;
  if (result.rv != CKR_OK) return result;
  if (pin != nullptr) {
    result.rv = session.login(CKU_USER, *pin).rv;
    result.refused = isRefusal(result.rv);
    if (result.rv != CKR_OK) return result;
  }
  const auto all = [](CK_OBJECT_HANDLE) { return true; };
  result.rv = ha::readInventory(session.member(), session.token().session, all, result.entries).rv;
  std::erase_if(result.entries, [](const ha::InventoryEntry& entry) { return !isUsers(entry.identity); });
  return result;
}

Held heldBy(const Token* token, const base::SecureBytes* pin) {
  if (token == nullptr || !token->isThere()) return {CKR_TOKEN_NOT_PRESENT, false, {}};
  ha::domain::TokenSession session(*token->member);
  return heldBy(session, pin);
}

}  // namespace

bool Contents::needsSync() const { return missing() != 0; }

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

base::Result<Contents, Trouble> readContents(std::span<const Token* const> members, const base::SecureBytes* pin) {
  Contents contents;
  // Several objects of a member may look alike: the second of one is the second of the other.
  std::map<std::pair<Key, unsigned>, std::size_t> known;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const Held found = heldBy(members[i], pin);
    if (found.refused) return Failure{refusedPin(members[i]->serial(), "the user's", found.rv)};
    contents.read.push_back(found.rv);
    std::map<Key, unsigned> seen;
    for (const ha::InventoryEntry& entry : found.entries) {
      const Key key = keyOf(entry.identity);
      const auto [at, isNew] = known.try_emplace({key, seen[key]++}, contents.items.size());
      if (isNew)
        contents.items.push_back({entry.identity, std::vector<CK_OBJECT_HANDLE>(members.size(), CK_INVALID_HANDLE)});
      contents.items[at->second].handles[i] = entry.handle;
    }
  }
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
  const Held found = heldBy(session, &pin);
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

std::string labelOf(const ha::Identity& identity) {
  std::string text;
  halog::appendEscaped(text,
                       std::string_view(reinterpret_cast<const char*>(identity.label.data()), identity.label.size()));
  return text;
}

}  // namespace p11ha::cli
