#include "ha/domain/choosing.h"

#include <algorithm>

#include "ha/wrapping.h"

namespace p11ha::ha::domain {

using cryptoki::Template;

namespace {

Conveyance notCloned(std::string reason) { return {Conveyance::Way::None, {}, std::move(reason)}; }

// Before this one none is used again.
Generation oldestInUse(std::span<const Holding> members) {
  Generation oldest;
  for (const Holding& member : members) {
    for (const HeldKey& key : member.keys) {
      // Open keys anybody can make who has the user PIN: they do not put others out of use.
      if (key.kind.seal == Seal::Sealed && key.generation.afterRemoval) oldest = std::max(oldest, key.generation);
    }
  }
  return oldest;
}

std::optional<Generation> newestShared(const Kind& kind, const Holding& a, const Holding& b, const Generation& oldest) {
  std::optional<Generation> newest;
  for (const HeldKey& key : a.keys) {
    if (key.kind != kind || key.generation < oldest || b.find(key.generation, kind) == nullptr) continue;
    if (!newest || *newest < key.generation) newest = key.generation;
  }
  return newest;
}

}  // namespace

Conveyance conveyanceOf(const Template& attributes) {
  const CK_OBJECT_CLASS objectClass = attributes.ulong(CKA_CLASS).value_or(CK_UNAVAILABLE_INFORMATION);
  const auto is = [&](CK_ATTRIBUTE_TYPE type) { return attributes.boolean(type).value_or(false); };
  if (objectClass != CKO_PRIVATE_KEY && objectClass != CKO_SECRET_KEY) return {Conveyance::Way::Read, {}, {}};
  if (!is(CKA_EXTRACTABLE)) return notCloned("it is not extractable");
  const bool sealed = is(CKA_WRAP_WITH_TRUSTED);
  if (!sealed && !is(CKA_SENSITIVE)) return {Conveyance::Way::Read, {}, {}};
  // A domain key carries private objects only: what comes back usable with no login would be weaker than it was.
  if (!is(CKA_PRIVATE)) return notCloned("it is sensitive and not private");
  if (objectClass == CKO_SECRET_KEY && !survivesWrapping(attributes.ulong(CKA_VALUE_LEN).value_or(0)))
    return notCloned("its length is no multiple of 8 bytes");
  return {Conveyance::Way::Domain, {sealed ? Seal::Sealed : Seal::Open, objectClass, is(CKA_DERIVE)}, {}};
}

bool carries(const Kind& kind, std::span<const Holding> members, std::size_t which) {
  return newestShared(kind, members[which], members[which], oldestInUse(members)).has_value();
}

std::optional<Route> chooseRoute(const Kind& kind, std::span<const Holding> members, std::size_t from, std::size_t to) {
  const Generation oldest = oldestInUse(members);
  if (const auto direct = newestShared(kind, members[from], members[to], oldest)) return Route{*direct, {}, {}};
  for (std::size_t third = 0; third < members.size(); ++third) {
    if (third == from || third == to) continue;
    const auto first = newestShared(kind, members[from], members[third], oldest);
    const auto second = newestShared(kind, members[third], members[to], oldest);
    if (first && second) return Route{*first, third, *second};
  }
  return std::nullopt;
}

}  // namespace p11ha::ha::domain
