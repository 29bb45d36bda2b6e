#include "ha/key_management.h"

#include "cryptoki/attribute_reader.h"
#include "ha/inventory.h"
#include "ha/mechanism_handles.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::RoleKind;

namespace {

// The call as that member understands it; nothing if the member lacks an object it names. `sent` is the mechanism it is
// given.
std::optional<Call> translated(Group& group, Catalog& catalog, Call call, std::span<const NamedObject> objects,
                               const cryptoki::OwnedMechanism* naming, std::optional<cryptoki::OwnedMechanism>& sent,
                               GroupMember& member, std::uint32_t epoch) {
  if (naming != nullptr) {
    sent = translate(*naming, group, catalog, member, epoch);
    if (!sent) return std::nullopt;
    call.set(cryptoki::function(call.fn).find(RoleKind::Mechanism)->word, sent->get());
  }
  for (const NamedObject& named : objects) {
    if (!named) return std::nullopt;
    const CK_OBJECT_HANDLE there = catalog.handleOn(*named.object, member, epoch);
    if (there == CK_INVALID_HANDLE) return std::nullopt;
    call.set(named.word, there);
  }
  return call;
}

}  // namespace

MemberMask KeyManagement::others(const GroupMember& but) const {
  return group_.policy.synchronize ? group_.view().synced & ~bit(but.index) : 0;
}

ObjectPtr KeyManagement::note(Session& session, GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle) {
  Identity identity;
  readIdentity(*member.token, session.members[member.index].handle, handle, identity);
  const bool sessionObject = identity.objectClass != CK_UNAVAILABLE_INFORMATION && !identity.token;
  const CK_SESSION_HANDLE owner = sessionObject ? session.handle.load(std::memory_order_relaxed) : CK_INVALID_HANDLE;
  ObjectPtr object = catalog_.made(member, epoch, handle, owner, std::move(identity));
  if (sessionObject) {
    session.objects.push_back(object);
    session.members[member.index].hasObjects = true;
  }
  catalog_.beforeHandingOut(object);
  return object;
}

void KeyManagement::madeAlso(Session& session, const ObjectPtr& object, GroupMember& member, std::uint32_t epoch,
                             CK_OBJECT_HANDLE handle) {
  if (object->isSessionObject()) session.members[member.index].hasObjects = true;
  catalog_.madeAlso(object, member, epoch, handle);
}

void KeyManagement::unsynced(GroupMember& member, const ObjectPtr& object, const Outcome& outcome) {
  group_.log(halog::UnsyncedObject{
      describe(object->identity()), member.serial, {outcome.rv, cryptoki::returnCodeName(outcome.rv)}});
}

CK_RV KeyManagement::create(Session& session, const Call& call) {
  const std::uint8_t word = cryptoki::function(call.fn).find(RoleKind::NewObject)->word;
  auto* const answer = call.get<CK_OBJECT_HANDLE*>(word);
  const NamedObjects named(group_, session, call);
  CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
  Call own = call;
  own.set(word, answer == nullptr ? nullptr : &made);
  Request request{own, named.all()};
  cryptoki::OwnedMechanism mechanism;
  if (const CK_RV rv = noteMechanism(call, mechanism, request.mechanism); rv != CKR_OK) return rv;
  const CK_RV rv = failover_.run(session, request);
  if (rv != CKR_OK || answer == nullptr) return rv;

  GroupMember& first = group_.member(request.answeredBy);
  const ObjectPtr object = note(session, first, request.answeredUnder, made);
  *answer = object->handle();
  for (GroupMember& member : group_.each(others(first))) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    std::optional<cryptoki::OwnedMechanism> sent;
    const auto there = translated(group_, catalog_, own, named.all(), request.mechanism, sent, member, epoch);
    if (!there) {
      // It lacks what the object is made from: the object itself is carried over.
      cloneTo(member, session, object, first, request.answeredUnder);
      continue;
    }
    made = CK_INVALID_HANDLE;
    const Outcome outcome = failover_.callOn(member, epoch, session, *there);
    if (outcome.rv == CKR_OK) {
      madeAlso(session, object, member, epoch, made);
    } else if (!isLoss(outcome)) {
      object->markAbsent(member.index, epoch);
      unsynced(member, object, outcome);
    }
  }
  return judgeReplication(session, object, first, answer);
}

// Of a key that is not on all members and never will be: may it be, and who is told?
CK_RV KeyManagement::judgeReplication(Session& session, const ObjectPtr& object, GroupMember& maker,
                                      CK_OBJECT_HANDLE* answer) {
  const auto holders = static_cast<std::size_t>(std::popcount(object->usable()));
  if (!group_.policy.synchronize || holders == group_.members.size() || !object->identity().isKey()) return CKR_OK;
  const std::string why = obstacle(session, maker, object->lastAt(maker.index));
  if (why.empty()) return CKR_OK;
  if (holders < 2 && deniesUnreplicated()) {
    *answer = CK_INVALID_HANDLE;
    remove(session, object, 0);
    return CKR_TEMPLATE_INCONSISTENT;
  }
  if (!object->isSessionObject()) logUnreplicated(object, why);
  return CKR_OK;
}

bool KeyManagement::deniesUnreplicated() const {
  return group_.policy.unreplicated == UnreplicatedKeys::Deny && group_.policy.synchronize && group_.members.size() > 1;
}

std::string KeyManagement::obstacle(Session& session, GroupMember& member, CK_OBJECT_HANDLE object) {
  cryptoki::Template nature;
  cryptoki::readAttributes(*member.token, session.members[member.index].handle, object, Cloner::kNature, nature);
  return Cloner::obstacle(nature, group_.policy.cloning);
}

void KeyManagement::logUnreplicated(const ObjectPtr& object, const std::string& reason) {
  const auto holders = static_cast<std::uint64_t>(std::popcount(object->usable()));
  group_.log(halog::UnreplicatedObject{describe(object->identity()), holders, group_.members.size(), reason});
}

void KeyManagement::cloneTo(GroupMember& member, Session& session, const ObjectPtr& object, GroupMember& source,
                            std::uint32_t sourceEpoch) {
  const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
  if (failover_.sessionOn(session, member, epoch).rv != CKR_OK) return;
  const Copied copied = cloner_.copy(source, sourceEpoch, object->at(source.index, sourceEpoch),
                                     {member, epoch, !object->isSessionObject(), session.members[member.index].handle});
  switch (copied.result) {
    case Copied::Result::Done:
      madeAlso(session, object, member, epoch, copied.handle);
      break;
    case Copied::Result::Refused:
      object->markAbsent(member.index, epoch);
      if (copied.outcome.rv == CKR_USER_NOT_LOGGED_IN && (failover_.noticeDeactivation(session, source, sourceEpoch) ||
                                                          failover_.noticeDeactivation(session, member, epoch)))
        break;
      unsynced(member, object, copied.outcome);
      break;
    case Copied::Result::TargetLost:
      group_.lose(member, epoch, Loss::Dropped, copied.outcome.rv);
      break;
    case Copied::Result::SourceLost:
      group_.lose(source, sourceEpoch, Loss::Dropped, copied.outcome.rv);
      break;
  }
}

CK_RV KeyManagement::change(Session& session, const Call& call) {
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  const CK_RV rv = failover_.run(session, request);
  const ObjectPtr& object = named.first();
  if (rv != CKR_OK || object == nullptr) return rv;

  GroupMember& first = group_.member(request.answeredBy);
  Identity identity;
  const CK_OBJECT_HANDLE there = object->at(first.index, request.answeredUnder);
  if (readIdentity(*first.token, session.members[first.index].handle, there, identity).rv == CKR_OK) {
    if (identity.material.empty()) {
      const Identity before = object->identity();
      identity.material = before.material;
      identity.lent = before.lent;
    }
    object->setIdentity(std::move(identity));
  }
  for (GroupMember& member : group_.each(others(first) & object->usable())) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    std::optional<cryptoki::OwnedMechanism> none;
    const auto same = translated(group_, catalog_, call, named.all(), nullptr, none, member, epoch);
    if (!same) continue;
    const Outcome outcome = failover_.callOn(member, epoch, session, *same);
    if (outcome.rv != CKR_OK && !isLoss(outcome)) unsynced(member, object, outcome);
  }
  return CKR_OK;
}

CK_RV KeyManagement::destroy(Session& session, const Call& call) {
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  const CK_RV rv = failover_.run(session, request);
  const ObjectPtr& object = named.first();
  if (rv != CKR_OK || object == nullptr) return rv;
  remove(session, object, bit(request.answeredBy));
  return CKR_OK;
}

void KeyManagement::remove(Session& session, const ObjectPtr& object, MemberMask done) {
  // From here on nobody binds it any more: a copy made at this moment is removed by whoever made it.
  group_.objects.remove(object);
  std::erase(session.objects, object);
  destroyElsewhere(session, object, done);
}

void KeyManagement::destroyElsewhere(Session& session, const ObjectPtr& object, MemberMask done) {
  for (GroupMember& member : group_.each(group_.view().synced & object->usable() & ~done)) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    // One that only looks like it is proved first: it may be another key.
    const CK_OBJECT_HANDLE there = catalog_.handleOn(object, member, epoch);
    if (there == CK_INVALID_HANDLE) continue;
    const Outcome outcome =
        failover_.callOn(member, epoch, session, makeCall<Fn::DestroyObject>(CK_SESSION_HANDLE{0}, there));
    if (outcome.rv != CKR_OK && outcome.rv != CKR_OBJECT_HANDLE_INVALID && !isLoss(outcome))
      unsynced(member, object, outcome);
  }
}

void KeyManagement::endSessionObjects(Session& session) {
  for (const ObjectPtr& object : session.objects) {
    if (group_.objects.remove(object)) destroyElsewhere(session, object, 0);
  }
  session.objects.clear();
}

}  // namespace p11ha::ha
