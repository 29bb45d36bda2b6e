#include "ha/key_management.h"

#include "cryptoki/attribute_reader.h"
#include "ha/inventory.h"
#include "ha/mechanism_handles.h"
#include "ha/notes/on_member.h"
#include "ha/repetition.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::RoleKind;
using cryptoki::Template;
using notes::Truth;

namespace {

// Of what the primary has made: it is to be on the others, too.
constexpr int kMostTries = 20;

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

Template templateOf(const Call& call) {
  const std::uint8_t word = cryptoki::function(call.fn).find(RoleKind::InTemplate)->word;
  auto asked = Template::copyOf(call.get<CK_ATTRIBUTE*>(word), call.get<CK_ULONG>(word + 1U));
  return asked ? std::move(*asked) : Template();
}

// A data object that would vanish from the application's sight: it is what p11ha's own ones are known by.
bool makesNote(const Call& call, const ObjectPtr& changed) {
  if (call.fn != Fn::CreateObject && call.fn != Fn::CopyObject && call.fn != Fn::SetAttributeValue) return false;
  const Template asked = templateOf(call);
  const auto application = asked.find(CKA_APPLICATION);
  if (!application || !notes::isOurs(*application)) return false;
  return changed != nullptr ? changed->identity().objectClass == CKO_DATA : asked.ulong(CKA_CLASS) == CKO_DATA;
}

// What the call makes, by its template; a copy, and what is changed, also by what it was.
Identity assumedOf(const Call& call, const NamedObjects& named) {
  const Template asked = templateOf(call);
  Identity identity = identify(asked);
  const bool hasFormer = call.fn == Fn::CopyObject || call.fn == Fn::SetAttributeValue;
  if (!hasFormer || named.first() == nullptr) return identity;
  Identity another = named.first()->identity();
  another.token = asked.boolean(CKA_TOKEN).value_or(another.token);
  another.isPrivate = asked.boolean(CKA_PRIVATE).value_or(another.isPrivate);
  if (asked.has(CKA_LABEL)) another.label = std::move(identity.label);
  if (asked.has(CKA_ID)) another.id = std::move(identity.id);
  return another;
}

}  // namespace

MemberMask KeyManagement::others(const GroupMember& but) const {
  return group_.policy().synchronize ? group_.receivers() & ~bit(but.index) : 0;
}

Identity KeyManagement::identityOn(Session& session, GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle,
                                   const Identity& assumed) {
  Identity identity;
  const Outcome read = readIdentity(*member.token, session.members[member.index].handle, handle, identity);
  if (isLoss(read)) group_.lose(member, epoch, Loss::Dropped, read.rv);
  return read.rv == CKR_OK ? identity : assumed;
}

ObjectPtr KeyManagement::note(Session& session, GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle,
                              const Identity& assumed, UnderWay& underWay) {
  Identity identity = identityOn(session, member, epoch, handle, assumed);
  const bool sessionObject = identity.objectClass != CK_UNAVAILABLE_INFORMATION && !identity.token;
  const CK_SESSION_HANDLE owner = sessionObject ? session.handle.load(std::memory_order_relaxed) : CK_INVALID_HANDLE;
  ObjectPtr object = catalog_.made(member, epoch, handle, owner, std::move(identity));
  underWay.add(object);
  if (sessionObject) {
    session.objects.push_back(object);
    session.members[member.index].hasObjects = true;
  }
  return object;
}

void KeyManagement::beforeHandingOut(const ObjectPtr& object) { catalog_.beforeHandingOut(object); }

void KeyManagement::askAgain(Session& session, const ObjectPtr& object, const GroupMember& first, std::uint32_t epoch,
                             MemberMask others) {
  if (!first.lostSince(epoch)) return;
  for (GroupMember& member : group_.each(others & object->usable() & ~bit(first.index))) {
    const CK_OBJECT_HANDLE there = object->at(member.index, member.epoch.load(std::memory_order_acquire));
    Identity identity;
    if (there == CK_INVALID_HANDLE) continue;
    if (readIdentity(*member.token, session.members[member.index].handle, there, identity).rv != CKR_OK) continue;
    object->setIdentity(std::move(identity));
    return;
  }
}

void KeyManagement::madeAlso(Session& session, const ObjectPtr& object, GroupMember& member, std::uint32_t epoch,
                             CK_OBJECT_HANDLE handle) {
  if (object->isSessionObject()) session.members[member.index].hasObjects = true;
  catalog_.madeAlso(object, member, epoch, handle);
  // Another process may be giving it to the member just now (Resync::giveWay).
  if (!object->isSessionObject() && group_.isReceiving(member)) removeLate(session, catalog_.subjectOf(object), member);
}

void KeyManagement::unsynced(GroupMember& member, const ObjectPtr& object, const Outcome& outcome) {
  group_.log(halog::UnsyncedObject{
      describe(object->identity()), member.serial, {outcome.rv, cryptoki::returnCodeName(outcome.rv)}});
}

CK_RV KeyManagement::create(Session& session, const Call& call) {
  return asShaped(session, call, &KeyManagement::make);
}

CK_RV KeyManagement::change(Session& session, const Call& call) {
  return asShaped(session, call, &KeyManagement::alter);
}

CK_RV KeyManagement::asShaped(Session& session, const Call& call, Made made) {
  Asked asked{call};
  if (const CK_RV rv = truth_.shape(session, call, asked.shaped); rv != CKR_OK) return rv;
  if (!asked.shaped.given.empty()) {
    const CK_RV rv = (this->*made)(session, withTemplate(call, asked.shaped.given), asked);
    if (!asked.shaped.seals || !isTemplateRefused(rv)) return rv;
  }
  return (this->*made)(session, call, {call});
}

std::optional<Truth> KeyManagement::truthOfMade(Session& session, const Asked& asked, const ObjectPtr& source,
                                                const ObjectPtr& made) {
  if (!made->mayBeGenerated()) return std::nullopt;
  const Template wanted = templateOf(asked.call);
  const KeyTruth::Shaped& shaped = asked.shaped;
  std::optional<Truth> truth;
  if (asked.call.fn == Fn::CopyObject && source != nullptr) truth = records_.truthOf(*source);
  if (asked.call.fn == Fn::DeriveKey && source != nullptr) truth = truthOfDerived(session, asked, wanted, source, made);
  const bool inShape = !shaped.seals && (asksForShape(wanted) || (truth && truth->asShaped));
  if (inShape || shaped.notSensitive || shaped.wrapWithTrusted || (truth && !shaped.given.empty())) {
    if (!truth) truth.emplace();
    truth->notSensitive = shaped.notSensitive;
    truth->wrapWithTrusted = shaped.wrapWithTrusted;
    truth->asShaped = inShape;
  }
  // Another object of the same key may have a record, which would be taken for its own.
  if (!truth && !made->isSessionObject() && group_.notes.recordOf(made->identity())) truth.emplace();
  if (truth) addLength(session, made, *truth);
  return truth;
}

// It is as long as its maker says, wherever it will be cloned to.
void KeyManagement::addLength(Session& session, const ObjectPtr& object, Truth& truth) {
  if (truth.valueLength != 0 || object->identity().objectClass != CKO_SECRET_KEY) return;
  KeyNature nature;
  if (truth_.natureOf(session, object->handle(), nature) == CKR_OK && nature.sensitive)
    truth.valueLength = nature.length;
}

// Of a key whose base has no record members say the truth, unless they hold it in another shape than was asked.
std::optional<Truth> KeyManagement::truthOfDerived(Session& session, const Asked& asked, const Template& wanted,
                                                   const ObjectPtr& base, const ObjectPtr& made) {
  const KeyTruth::Shaped& shaped = asked.shaped;
  const auto its = shaped.seals ? truth_.truthOf(session, base) : records_.truthOf(*base);
  if (!its) return std::nullopt;
  std::optional<bool> sensitive = wanted.boolean(CKA_SENSITIVE);
  std::optional<bool> extractable = wanted.boolean(CKA_EXTRACTABLE);
  if (shaped.seals) {
    sensitive = !shaped.notSensitive;
    extractable = false;
  } else if (!sensitive || !extractable) {
    KeyNature nature;
    if (truth_.natureOf(session, made->handle(), nature) != CKR_OK) return std::nullopt;
    sensitive = nature.sensitive;
    extractable = nature.extractable;
  }
  if (!*sensitive && *extractable) return std::nullopt;
  return ha::truthOfDerived(*its, *sensitive, *extractable);
}

CK_RV KeyManagement::make(Session& session, const Call& call, const Asked& asked) {
  const std::uint8_t word = cryptoki::function(call.fn).find(RoleKind::NewObject)->word;
  auto* const answer = call.get<CK_OBJECT_HANDLE*>(word);
  const NamedObjects named(group_, session, call);
  const ObjectPtr source = cryptoki::function(call.fn).objectCount == 0 ? nullptr : session.recent[0];
  if (makesNote(call, source)) return CKR_ATTRIBUTE_VALUE_INVALID;
  CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
  Call own = call;
  own.set(word, answer == nullptr ? nullptr : &made);
  Request request{own, named.all()};
  cryptoki::OwnedMechanism mechanism;
  if (const CK_RV rv = noteMechanism(call, mechanism, request.mechanism); rv != CKR_OK) return rv;
  const CK_RV rv = failover_.run(session, request);
  if (rv != CKR_OK || answer == nullptr) return rv;

  GroupMember& first = group_.member(request.answeredBy);
  UnderWay underWay;
  const ObjectPtr object = note(session, first, request.answeredUnder, made, assumedOf(call, named), underWay);
  beforeHandingOut(object);
  *answer = object->handle();
  // It may ask what was made: what the call named is still to be known as what was named last.
  const auto recent = session.recent;
  const std::optional<Truth> truth = truthOfMade(session, asked, source, object);
  session.recent = recent;
  if (truth) object->setTruth(*truth);
  const auto record = [&](GroupMember& member, std::uint32_t epoch) {
    if (truth && !object->isSessionObject()) records_.write(member, epoch, object->identity(), *truth);
  };
  record(first, request.answeredUnder);
  const auto makeOn = [&](GroupMember& member) P11HA_REQUIRES(session.mutex) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    if (object->at(member.index, epoch) != CK_INVALID_HANDLE) return;
    record(member, epoch);
    std::optional<cryptoki::OwnedMechanism> sent;
    const auto there = translated(group_, catalog_, own, named.all(), request.mechanism, sent, member, epoch);
    if (!there) {
      // It lacks what the object is made from: the object itself is carried over.
      return cloneTo(member, session, object, first, request.answeredUnder);
    }
    made = CK_INVALID_HANDLE;
    Repetition repetition(kMostTries);
    Outcome outcome = failover_.callOn(member, epoch, session, *there);
    while (repetition.isWorthIt(*member.token, session.members[member.index].handle, outcome.rv))
      outcome = failover_.callOn(member, epoch, session, *there);
    if (outcome.rv == CKR_OK) {
      madeAlso(session, object, member, epoch, made);
    } else if (!isLoss(outcome)) {
      object->markAbsent(member.index, epoch);
      unsynced(member, object, outcome);
    }
  };
  // Also on those that come back meanwhile: their recovery leaves it to this call.
  MemberMask reached = bit(first.index);
  for (MemberMask next = others(first); next != 0; next = others(first) & ~reached) {
    reached |= next;
    for (GroupMember& member : group_.each(next)) makeOn(member);
  }
  askAgain(session, object, first, request.answeredUnder, reached);
  missed_.made(session, object);
  return judgeReplication(session, object, first, answer);
}

// Of a key that is not on all members and never will be: may it be, and who is told?
CK_RV KeyManagement::judgeReplication(Session& session, const ObjectPtr& object, GroupMember& maker,
                                      CK_OBJECT_HANDLE* answer) {
  const MemberMask holders = object->usable() & group_.members.present();
  if (!group_.policy().synchronize || holders == group_.members.present() || !object->identity().isKey()) return CKR_OK;
  const std::string why = obstacle(session, maker, object->lastAt(maker.index));
  if (why.empty()) return CKR_OK;
  if (std::popcount(holders) < 2 && deniesUnreplicated()) {
    *answer = CK_INVALID_HANDLE;
    remove(session, object, missed_.before(object), 0);
    return CKR_TEMPLATE_INCONSISTENT;
  }
  if (!object->isSessionObject()) logUnreplicated(object, why);
  return CKR_OK;
}

bool KeyManagement::deniesUnreplicated() const {
  return group_.policy().unreplicated == UnreplicatedKeys::Deny && group_.policy().synchronize &&
         group_.members.size() > 1;
}

std::string KeyManagement::obstacle(Session& session, GroupMember& member, CK_OBJECT_HANDLE object) {
  cryptoki::Template nature;
  cryptoki::readAttributes(*member.token, session.members[member.index].handle, object, domain::kConveyanceNature,
                           nature);
  return cloner_.obstacle(nature, member.index);
}

void KeyManagement::logUnreplicated(const ObjectPtr& object, const std::string& reason) {
  const auto holders = static_cast<std::uint64_t>(std::popcount(object->usable() & group_.members.present()));
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

void KeyManagement::cloneToReturned(Session& session, const ObjectPtr& object, GroupMember& source,
                                    std::uint32_t sourceEpoch, MemberMask reached) {
  for (MemberMask next = others(source) & ~reached; next != 0; next = others(source) & ~reached) {
    reached |= next;
    for (GroupMember& member : group_.each(next)) {
      const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
      if (object->at(member.index, epoch) == CK_INVALID_HANDLE) cloneTo(member, session, object, source, sourceEpoch);
    }
  }
}

CK_RV KeyManagement::alter(Session& session, const Call& call, const Asked& asked) {
  const NamedObjects named(group_, session, call);
  const ObjectPtr object = session.recent[0];
  if (makesNote(call, object)) return CKR_ATTRIBUTE_VALUE_INVALID;
  Request request{call, named.all()};
  const notes::Subject known = object == nullptr ? notes::Subject{} : missed_.before(object);
  const CK_RV rv = failover_.run(session, request);
  if (rv != CKR_OK || object == nullptr) return rv;

  const Identity before = object->identity();
  std::optional<Truth> truth = records_.truthOf(*object);
  bool isNews = false;
  if (!asked.shaped.given.empty()) {
    Truth changed = truth.value_or(Truth{});
    changed.notSensitive = asked.shaped.notSensitive;
    changed.wrapWithTrusted = asked.shaped.wrapWithTrusted;
    isNews = changed != truth.value_or(Truth{});
    if (isNews) addLength(session, object, changed);
    if (isNews) truth = changed;
  }
  if (truth) object->setTruth(*truth);
  if (object->shape() != Shape::Sealed) object->setShape(Shape::Unknown);
  GroupMember& first = group_.member(request.answeredBy);
  const CK_OBJECT_HANDLE there = object->at(first.index, request.answeredUnder);
  object->setIdentity(identityOn(session, first, request.answeredUnder, there, assumedOf(call, named)));
  if (group_.policy().synchronize) {
    const Reached reached = elsewhere(session, object, bit(first.index), call);
    askAgain(session, object, first, request.answeredUnder, reached.done);
    const std::span attributes(call.get<const CK_ATTRIBUTE*>(2), call.get<CK_ULONG>(3));
    if (!object->isSessionObject()) missed_.changed(session, known, object, attributes, reached);
    // Whoever brings a member back or gives it the object may have looked for change records too early.
    const MemberMask late = reached.unsure & group_.receivers();
    if (late != 0 && !object->isSessionObject()) catalog_.refresh(late);
    if (late != 0) elsewhere(session, object, reached.done, call);
  }
  if (truth) records_.follow(object, before, *truth, isNews);
  return CKR_OK;
}

CK_RV KeyManagement::destroy(Session& session, const Call& call) {
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  const ObjectPtr object = session.recent[0];
  const notes::Subject before = object == nullptr ? notes::Subject{} : missed_.before(object);
  const CK_RV rv = failover_.run(session, request);
  if (rv != CKR_OK || object == nullptr) return rv;
  remove(session, object, before, bit(request.answeredBy));
  return CKR_OK;
}

void KeyManagement::remove(Session& session, const ObjectPtr& object, const notes::Subject& before, MemberMask done) {
  // From here on nobody binds it any more: a copy made at this moment is removed by whoever made it.
  group_.objects.remove(object);
  std::erase(session.objects, object);
  const Call call = makeCall<Fn::DestroyObject>(CK_SESSION_HANDLE{0}, object->handle());
  const Reached reached = elsewhere(session, object, done, call);
  if (object->isSessionObject()) return;
  missed_.destroyed(session, before, reached);
  if (reached.unsure != 0 && group_.policy().synchronize) {
    // Whoever puts a copy somewhere looks for tombstones afterwards (Resync::takeBack), as this looks for copies after
    // it has written one: one of the two finds the other.
    for (GroupMember& member : group_.each(group_.well(group_.receivers()))) removeLate(session, before, member);
  }
  if (object->mayBeGenerated()) records_.destroyed(object->identity());
}

void KeyManagement::removeLate(Session& session, const notes::Subject& about, GroupMember& member) {
  const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
  for (const ObjectPtr& late : catalog_.findNew(about, member, epoch)) {
    const CK_OBJECT_HANDLE there = late->at(member.index, epoch);
    group_.objects.remove(late);
    failover_.callOn(member, epoch, session, makeCall<Fn::DestroyObject>(CK_SESSION_HANDLE{0}, there));
  }
}

Reached KeyManagement::elsewhere(Session& session, const ObjectPtr& object, MemberMask done, Call call) {
  Reached reached{done, 0};
  MemberMask unclear = 0;
  for (GroupMember& member : group_.each(group_.receivers() & ~done)) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    // One that only looks like it is proved first: it may be another key.
    const CK_OBJECT_HANDLE there =
        (object->usable() & bit(member.index)) != 0 ? catalog_.handleOn(object, member, epoch) : CK_INVALID_HANDLE;
    if (there == CK_INVALID_HANDLE) {
      if (object->holding(member.index, epoch) == Holding::Ambiguous) unclear |= bit(member.index);
      continue;
    }
    call.set(cryptoki::function(call.fn).objectWords[0], there);
    const Outcome outcome = failover_.callOn(member, epoch, session, call);
    const bool isGone = call.fn == Fn::DestroyObject && outcome.rv == CKR_OBJECT_HANDLE_INVALID;
    if (outcome.rv == CKR_OK || isGone) {
      reached.done |= bit(member.index);
    } else if (!isLoss(outcome)) {
      unsynced(member, object, outcome);
    }
  }
  reached.unsure = group_.members.present() & ~reached.done & ~unclear;
  return reached;
}

void KeyManagement::endSessionObjects(Session& session) {
  for (const ObjectPtr& object : session.objects) {
    if (group_.objects.remove(object))
      elsewhere(session, object, 0, makeCall<Fn::DestroyObject>(CK_SESSION_HANDLE{0}, object->handle()));
  }
  session.objects.clear();
}

}  // namespace p11ha::ha
