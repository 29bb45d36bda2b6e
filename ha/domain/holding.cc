#include "ha/domain/holding.h"

#include <algorithm>

#include "ha/domain/key_template.h"
#include "ha/inventory.h"

namespace p11ha::ha::domain {

using cryptoki::Outcome;
using cryptoki::Template;

const HeldKey* Holding::find(const Generation& generation, const Kind& kind) const {
  const auto found = std::find_if(keys.begin(), keys.end(),
                                  [&](const HeldKey& key) { return key.generation == generation && key.kind == kind; });
  return found != keys.end() ? &*found : nullptr;
}

bool Holding::complete(const Generation& generation) const {
  return complete(generation, Seal::Sealed) && complete(generation, Seal::Open);
}

bool Holding::complete(const Generation& generation, Seal seal) const {
  return std::all_of(kKinds.begin(), kKinds.end(),
                     [&](const Kind& kind) { return kind.seal != seal || find(generation, kind) != nullptr; });
}

std::vector<Generation> Holding::generations() const {
  std::vector<Generation> all;
  for (const HeldKey& key : keys) all.push_back(key.generation);
  std::sort(all.begin(), all.end(), std::greater<>());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

Outcome readHolding(const OnToken& token, Holding& out) {
  out = {};
  Template query;
  query.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  query.addText(CKA_ID, kDomainKeyId);
  query.addBool(CKA_TOKEN, true);
  std::vector<CK_OBJECT_HANDLE> handles;
  if (const Outcome listed = listObjects(token.member, token.session, query, handles); listed.rv != CKR_OK)
    return listed;
  for (const CK_OBJECT_HANDLE handle : handles) {
    Template attributes;
    const Outcome read = token.read(handle, domainKeyAttributes(), attributes);
    if (read.rv == CKR_OBJECT_HANDLE_INVALID) continue;  // it is gone meanwhile
    if (read.rv != CKR_OK) return read;
    const auto bytes = attributes.find(CKA_LABEL);
    const std::string label = bytes ? std::string(bytes->begin(), bytes->end()) : std::string();
    const auto name = parseLabel(label);
    if (name && isDomainKey(attributes, name->kind)) {
      out.keys.push_back({name->generation, name->kind, handle});
    } else {
      out.planted.push_back(label);
    }
  }
  return {};
}

}  // namespace p11ha::ha::domain
