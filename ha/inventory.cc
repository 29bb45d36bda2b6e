#include "ha/inventory.h"

#include "cryptoki/attribute_reader.h"
#include "cryptoki/return_codes.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Member;
using cryptoki::Outcome;
using cryptoki::Template;

namespace {

constexpr CK_ATTRIBUTE_TYPE kKind[] = {CKA_CLASS, CKA_KEY_TYPE, CKA_CERTIFICATE_TYPE};

// The answer of a member that is there but will not speak of this object. (CKR_ATTRIBUTE_VALUE_INVALID is SoftHSM
// 2.6.1's of one that was half written when its process was killed.)
bool objectUnreadable(const Outcome& outcome) {
  return outcome.fate == cryptoki::Fate::Answered &&
         (outcome.rv == CKR_OBJECT_HANDLE_INVALID || outcome.rv == CKR_ATTRIBUTE_TYPE_INVALID ||
          outcome.rv == CKR_ATTRIBUTE_SENSITIVE || outcome.rv == CKR_ATTRIBUTE_VALUE_INVALID);
}

}  // namespace

Outcome listObjects(Member& member, CK_SESSION_HANDLE session, Template& query,
                    std::vector<CK_OBJECT_HANDLE>& handles) {
  constexpr CK_ULONG kBatch = 256;
  Outcome outcome = member.execute(makeCall<Fn::FindObjectsInit>(session, query.data(), query.count()));
  if (outcome.rv != CKR_OK) {
    // Some members (SoftHSM) keep a search active that they answered so.
    if (cryptoki::classify(outcome.rv) == cryptoki::RvClass::Ask)
      member.execute(makeCall<Fn::FindObjectsFinal>(session));
    return outcome;
  }
  for (;;) {
    const std::size_t before = handles.size();
    handles.resize(before + kBatch);
    CK_ULONG count = 0;
    outcome = member.execute(makeCall<Fn::FindObjects>(session, &handles[before], kBatch, &count));
    handles.resize(before + (outcome.rv == CKR_OK ? std::min(count, kBatch) : 0));
    if (outcome.rv != CKR_OK || count == 0) break;
    if (handles.size() > kMaxFound) {
      outcome = {CKR_GENERAL_ERROR};
      break;
    }
  }
  const Outcome ended = member.execute(makeCall<Fn::FindObjectsFinal>(session));
  return outcome.rv != CKR_OK ? outcome : ended;
}

Outcome readIdentity(Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, Identity& identity) {
  Template attributes;
  Outcome outcome = cryptoki::readAttributes(member, session, object, kKind, attributes);
  if (outcome.rv != CKR_OK) return outcome;
  const CK_OBJECT_CLASS objectClass = attributes.ulong(CKA_CLASS).value_or(CK_UNAVAILABLE_INFORMATION);
  const CK_ULONG type = attributes.ulong(CKA_KEY_TYPE).value_or(CK_UNAVAILABLE_INFORMATION);
  outcome = cryptoki::readAttributes(member, session, object, identityAttributes(objectClass, type), attributes);
  if (outcome.rv == CKR_OK) identity = identify(attributes);
  return outcome;
}

Outcome readInventory(Member& member, CK_SESSION_HANDLE session, const std::function<bool(CK_OBJECT_HANDLE)>& wanted,
                      std::vector<InventoryEntry>& entries) {
  Template everything;
  std::vector<CK_OBJECT_HANDLE> handles;
  if (const Outcome listed = listObjects(member, session, everything, handles); listed.rv != CKR_OK) return listed;
  for (const CK_OBJECT_HANDLE handle : handles) {
    if (!wanted(handle)) continue;
    Identity identity;
    const Outcome read = readIdentity(member, session, handle, identity);
    if (objectUnreadable(read)) continue;
    if (read.rv != CKR_OK) return read;
    entries.push_back({handle, std::move(identity)});
  }
  return {};
}

}  // namespace p11ha::ha
