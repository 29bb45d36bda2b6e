#include "ha/searches.h"

#include <algorithm>
#include <unordered_set>

#include "ha/sealed_shape.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

namespace {

std::optional<TruthSearch> truthSearchOf(const Call& init) {
  const auto* const attributes = init.get<const CK_ATTRIBUTE*>(1);
  const auto count = init.get<CK_ULONG>(2);
  if (attributes == nullptr || count > cryptoki::kMaxTemplateAttributes) return std::nullopt;
  const std::span<const CK_ATTRIBUTE> asked(attributes, count);
  if (!namesShape(asked) && !namesRecorded(asked)) return std::nullopt;
  const auto query = cryptoki::Template::copyOf(attributes, count);
  return query ? std::optional(truthSearch(*query)) : std::nullopt;
}

}  // namespace

CK_RV Searches::begin(Session& session, const Call& call) {
  Operation& find = session.operation(cryptoki::Op::Find);
  if (find.active()) return CKR_OPERATION_ACTIVE;
  if (const CK_RV rv = admitted(session, call); rv != CKR_OK) return rv;
  std::optional<TruthSearch> further = truthSearchOf(call);
  TruthSearch* const search = further ? &*further : nullptr;
  Found found;
  GroupMember* member = nullptr;
  std::uint32_t epoch = 0;
  const auto unknown = [&](CK_OBJECT_HANDLE handle) {
    return group_.objects.findAt(member->index, handle) == nullptr && !group_.objects.hidden(member->index, handle);
  };
  const auto anyUnknown = [&](const std::vector<CK_OBJECT_HANDLE>& handles) {
    return std::any_of(handles.begin(), handles.end(), unknown);
  };
  std::size_t tries = 0;
  do {
    if (tries++ > group_.members.size()) return group_.noAnswer();
    if (const CK_RV rv = ask(session, call, search, found, member); rv != CKR_OK) return rv;
    epoch = session.members[member->index].epoch;
    // Somebody else made objects: they are on the other members too.
    if (anyUnknown(found.asked) || anyUnknown(found.apart) || anyUnknown(found.sealed))
      catalog_.refresh(group_.view().synced | bit(member->index));
    // What a member had found that is gone now, nobody can be told of.
  } while (member->lostSince(epoch));

  session.search = {};
  for (const ObjectPtr& object : meant(*member, search, found)) add(session, object);
  addOnlyElsewhere(session, call, search, *member);
  // It stays open on the member, which then answers to what does not go together with it.
  find.standing = Standing::Active;
  session.noteBegun(cryptoki::Op::Find);
  find.member = static_cast<std::uint8_t>(member->index);
  find.epoch = epoch;
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

// The member matches by what it holds: of keys that it holds otherwise than they are read it finds too many, or none.
CK_RV Searches::lookFurther(Session& session, GroupMember& member, std::uint32_t epoch, TruthSearch& search,
                            Found& found) {
  found.apart = found.asked;
  if (search.namesRecorded) {
    if (const CK_RV rv = again(session, member, epoch, search.apart, found.apart); rv != CKR_OK) return rv;
  }
  if (!search.length.empty()) {
    if (const CK_RV rv = again(session, member, epoch, search.length, found.ofLength); rv != CKR_OK) return rv;
  }
  return search.namesShape ? again(session, member, epoch, search.sealed, found.sealed) : CK_RV{CKR_OK};
}

CK_RV Searches::again(Session& session, GroupMember& member, std::uint32_t epoch, cryptoki::Template& query,
                      std::vector<CK_OBJECT_HANDLE>& found) {
  found.clear();
  if (const CK_RV rv = close(session, member, epoch); rv != CKR_OK) return rv;
  const Outcome begun = failover_.callOn(
      member, epoch, session, makeCall<Fn::FindObjectsInit>(CK_SESSION_HANDLE{0}, query.data(), query.count()));
  if (begun.rv == CKR_OK) return drain(session, member, epoch, found);
  // A member that knows no such attribute has no such keys.
  const bool unknown = begun.rv == CKR_ATTRIBUTE_TYPE_INVALID || begun.rv == CKR_ATTRIBUTE_VALUE_INVALID;
  return unknown ? CK_RV{CKR_OK} : begun.rv;
}

std::vector<ObjectPtr> Searches::meant(const GroupMember& member, const TruthSearch* search, const Found& found) const {
  std::vector<ObjectPtr> objects;
  const auto take = [&](CK_OBJECT_HANDLE handle, const auto& isMeant) {
    ObjectPtr object = group_.objects.findAt(member.index, handle);
    if (object != nullptr && isMeant(*object)) objects.push_back(std::move(object));
  };
  if (search == nullptr) {
    for (const CK_OBJECT_HANDLE handle : found.asked) take(handle, [](const Object&) { return true; });
    return objects;
  }
  const std::unordered_set<CK_OBJECT_HANDLE> asked(found.asked.begin(), found.asked.end());
  const std::unordered_set<CK_OBJECT_HANDLE> sealed(found.sealed.begin(), found.sealed.end());
  const std::unordered_set<CK_OBJECT_HANDLE> ofLength(found.ofLength.begin(), found.ofLength.end());
  for (const CK_OBJECT_HANDLE handle : found.apart) {
    if (sealed.contains(handle)) continue;
    take(handle, [&](Object& object) {
      const auto truth = search->namesRecorded ? records_.truthOf(object) : std::nullopt;
      return truth ? search->admits(object.identity().objectClass, *truth, false, ofLength.contains(handle))
                   : asked.contains(handle);
    });
  }
  for (const CK_OBJECT_HANDLE handle : found.sealed) {
    take(handle, [&](Object& object) {
      const notes::Truth truth = records_.truthOf(object).value_or(notes::Truth{});
      return search->admits(object.identity().objectClass, truth, true, ofLength.contains(handle));
    });
  }
  return objects;
}

CK_RV Searches::ask(Session& session, const Call& init, TruthSearch* search, Found& found, GroupMember*& member) {
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
    found = {};
    const std::uint32_t epoch = request.answeredUnder;
    CK_RV rv = drain(session, *member, epoch, found.asked);
    if (rv == CKR_OK && search != nullptr) rv = lookFurther(session, *member, epoch, *search, found);
    if (rv != CKR_OK) {
      if (failover_.noticeLoss(session, *member, epoch, rv)) continue;
      close(session, *member, epoch);
      return rv;
    }
    // One that has ended our login, or does not know of it yet, finds less than there is and says nothing of it.
    if (failover_.catchUpLogin(session, *member, epoch)) {
      close(session, *member, epoch);
      continue;
    }
    if (!failover_.noticeDeactivation(session, *member, epoch)) return CKR_OK;
    if (!group_.policy().failoverOnDeactivation) return CKR_USER_NOT_LOGGED_IN;
  }
  return group_.noAnswer();
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

void Searches::addOnlyElsewhere(Session& session, const Call& init, TruthSearch* search, const GroupMember& asked) {
  MemberMask holders = 0;
  std::unordered_set<CK_OBJECT_HANDLE> wanted;
  for (const ObjectPtr& object : catalog_.onlyElsewhere(group_.view())) {
    if ((object->usable() & bit(asked.index)) != 0) continue;
    holders |= object->usable() & group_.view().serving;
    wanted.insert(object->handle());
  }
  for (GroupMember& member : group_.each(holders)) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    Found there;
    const Outcome begun = failover_.callOn(member, epoch, session, init);
    const bool whole = begun.rv == CKR_OK && drain(session, member, epoch, there.asked) == CKR_OK &&
                       (search == nullptr || lookFurther(session, member, epoch, *search, there) == CKR_OK);
    if (!isLoss(begun)) close(session, member, epoch);
    if (!whole) continue;
    for (const ObjectPtr& object : meant(member, search, there)) {
      if (wanted.erase(object->handle()) != 0) add(session, object);
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
