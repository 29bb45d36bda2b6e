#include "ha/searches.h"

#include <algorithm>
#include <unordered_set>

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

CK_RV Searches::begin(Session& session, const Call& call) {
  Operation& find = session.operation(cryptoki::Op::Find);
  if (find.active()) return CKR_OPERATION_ACTIVE;
  if (const CK_RV rv = admitted(session, call); rv != CKR_OK) return rv;
  std::vector<CK_OBJECT_HANDLE> found;
  GroupMember* member = nullptr;
  if (const CK_RV rv = ask(session, call, found, member); rv != CKR_OK) return rv;

  const auto unknown = [&](CK_OBJECT_HANDLE handle) {
    return group_.objects.findAt(member->index, handle) == nullptr && !group_.objects.hidden(member->index, handle);
  };
  // Somebody else made objects: they are on the other members too.
  if (std::any_of(found.begin(), found.end(), unknown)) catalog_.refresh(group_.view().synced | bit(member->index));

  session.search = {};
  for (const CK_OBJECT_HANDLE handle : found) {
    if (const ObjectPtr object = group_.objects.findAt(member->index, handle)) add(session, object);
  }
  addOnlyElsewhere(session, call, *member);
  // It stays open on the member, which then answers to what does not go together with it.
  find.standing = Standing::Active;
  session.noteBegun(cryptoki::Op::Find);
  find.member = static_cast<std::uint8_t>(member->index);
  find.epoch = session.members[member->index].epoch;
  return CKR_OK;
}

void Searches::add(Session& session, const ObjectPtr& object) {
  catalog_.beforeHandingOut(object);
  session.search.found.push_back(object->handle());
}

// An operation may be in the way of a search: its member says so.
CK_RV Searches::admitted(Session& session, const Call& init) {
  const Operation* active = session.anyActive();
  if (active == nullptr || active->epoch == 0) return CKR_OK;
  GroupMember& member = group_.member(active->member);
  const std::uint32_t epoch = active->epoch;
  if (member.lostSince(epoch)) return CKR_OK;
  const Outcome outcome = failover_.callOn(member, epoch, session, init);
  if (outcome.rv == CKR_OK) return close(session, member, epoch);
  return isLoss(outcome) ? CKR_OK : outcome.rv;
}

CK_RV Searches::close(Session& session, GroupMember& member, std::uint32_t epoch) {
  const Outcome outcome =
      failover_.callOn(member, epoch, session, makeCall<Fn::FindObjectsFinal>(CK_SESSION_HANDLE{0}));
  return isLoss(outcome) ? CKR_OK : outcome.rv;
}

CK_RV Searches::ask(Session& session, const Call& init, std::vector<CK_OBJECT_HANDLE>& found, GroupMember*& member) {
  // A member lost between the Init and the end of the search is one more reason to begin again.
  for (std::size_t tries = 0; tries <= group_.members.size(); ++tries) {
    Request request{init, {}};
    if (const CK_RV rv = failover_.run(session, request); rv != CKR_OK) {
      // Some members (SoftHSM) keep a search active that they answered so.
      if (cryptoki::classify(rv) == cryptoki::RvClass::Ask && request.answeredBy != Request::kAnyMember)
        close(session, group_.member(request.answeredBy), request.answeredUnder);
      return rv;
    }
    member = &group_.member(request.answeredBy);
    found.clear();
    const CK_RV rv = drain(session, *member, request.answeredUnder, found);
    if (rv == CKR_OK) return rv;
    if (!member->lostSince(request.answeredUnder)) {
      close(session, *member, request.answeredUnder);
      return rv;
    }
  }
  return CKR_DEVICE_ERROR;
}

CK_RV Searches::drain(Session& session, GroupMember& member, std::uint32_t epoch,
                      std::vector<CK_OBJECT_HANDLE>& found) {
  constexpr CK_ULONG kBatch = 256;
  for (;;) {
    const std::size_t before = found.size();
    found.resize(before + kBatch);
    CK_ULONG count = 0;
    const Outcome outcome = failover_.callOn(
        member, epoch, session, makeCall<Fn::FindObjects>(CK_SESSION_HANDLE{0}, &found[before], kBatch, &count));
    found.resize(before + (outcome.rv == CKR_OK ? std::min(count, kBatch) : 0));
    if (outcome.rv != CKR_OK) return outcome.rv;
    if (found.size() > kMaxFound) return CKR_GENERAL_ERROR;
    if (count == 0) return CKR_OK;
  }
}

void Searches::addOnlyElsewhere(Session& session, const Call& init, const GroupMember& asked) {
  MemberMask holders = 0;
  std::unordered_set<CK_OBJECT_HANDLE> wanted;
  for (const ObjectPtr& object : catalog_.onlyElsewhere(group_.view())) {
    if ((object->usable() & bit(asked.index)) != 0) continue;
    holders |= object->usable() & group_.view().serving;
    wanted.insert(object->handle());
  }
  for (GroupMember& member : group_.each(holders)) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    std::vector<CK_OBJECT_HANDLE> there;
    const Outcome begun = failover_.callOn(member, epoch, session, init);
    const bool whole = begun.rv == CKR_OK && drain(session, member, epoch, there) == CKR_OK;
    if (!isLoss(begun)) close(session, member, epoch);
    if (!whole) continue;
    for (const CK_OBJECT_HANDLE handle : there) {
      const ObjectPtr object = group_.objects.findAt(member.index, handle);
      if (object != nullptr && wanted.erase(object->handle()) != 0) add(session, object);
    }
  }
}

CK_RV Searches::next(Session& session, const Call& call) {
  auto* const out = call.get<CK_OBJECT_HANDLE*>(1);
  auto* const count = call.get<CK_ULONG*>(3);
  Search& search = session.search;
  if (count == nullptr || out == nullptr) return CKR_ARGUMENTS_BAD;
  if (!session.operation(cryptoki::Op::Find).active()) return CKR_OPERATION_NOT_INITIALIZED;
  const std::size_t some = std::min<std::size_t>(call.get<CK_ULONG>(2), search.found.size() - search.next);
  std::copy_n(search.found.begin() + static_cast<std::ptrdiff_t>(search.next), some, out);
  search.next += some;
  *count = some;
  return CKR_OK;
}

CK_RV Searches::end(Session& session) {
  Operation& find = session.operation(cryptoki::Op::Find);
  if (!find.active()) return CKR_OPERATION_NOT_INITIALIZED;
  GroupMember& member = group_.member(find.member);
  const std::uint32_t epoch = find.epoch;
  const bool open = !member.lostSince(epoch);
  find.end();
  session.search = {};
  // What the application was told stands, whatever the member says to this.
  if (open) close(session, member, epoch);
  return CKR_OK;
}

}  // namespace p11ha::ha
