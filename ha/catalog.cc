#include "ha/catalog.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "cryptoki/attribute_reader.h"
#include "ha/notes/on_member.h"
#include "ha/public_part.h"

namespace p11ha::ha {

using cryptoki::Outcome;
using cryptoki::Template;

void Catalog::refresh(MemberMask members, OwnSession own) {
  for (GroupMember& member : group_.each(members)) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    Bindings before = bindingsOn(member, epoch);
    std::unordered_set<CK_OBJECT_HANDLE> seen;
    std::vector<InventoryEntry> entries;
    const Outcome outcome = read(member, epoch, entries, own, &seen);
    if (outcome.rv == CKR_OK) {
      // What is only hidden, as there is no login just now, has not gone.
      std::set<notes::Name> found;
      for (const InventoryEntry& entry : entries) found.insert(notes::nameOf(entry.identity));
      std::erase_if(before, [&](const auto& each) {
        return found.empty() || seen.contains(each.second) || !found.contains(notes::nameOf(each.first->identity()));
      });
      forgetUnseen(member, epoch, before, seen, Holding::Unknown);
      install(member, epoch, entries, own, Renames::Unnoted::JustNow);
    } else if (isLoss(outcome)) {
      group_.lose(member, epoch, Loss::Dropped, outcome.rv);
    }
  }
}

Outcome Catalog::takeStock(GroupMember& member, std::uint32_t epoch) {
  group_.objects.forgetMember(member.index);
  // An attempt before this one, under the same epoch, may have bound objects, and the member may have been started anew
  // since: its handles are others, and another object's.
  for (const ObjectPtr& object : group_.objects.all()) object->forget(member.index, epoch);
  group_.notes.forgetMember(member.index);
  std::vector<InventoryEntry> entries;
  if (const Outcome outcome = read(member, epoch, entries, &GroupMember::resync); outcome.rv != CKR_OK) return outcome;
  install(member, epoch, entries, &GroupMember::resync, Renames::Unnoted::No);
  for (const ObjectPtr& object : group_.objects.all()) {
    if (object->holding(member.index, epoch) == Holding::Unknown) object->markAbsent(member.index, epoch);
  }
  return {};
}

// Those that are new, beside those that are known there already.
Outcome Catalog::read(GroupMember& member, std::uint32_t epoch, std::vector<InventoryEntry>& entries, OwnSession own,
                      std::unordered_set<CK_OBJECT_HANDLE>* seen) {
  ControlSession::Use control(member.*own);
  if (const Outcome opened = control.open(*member.token, epoch); opened.rv != CKR_OK) return opened;
  const auto wanted = [&](CK_OBJECT_HANDLE handle) {
    if (seen != nullptr) seen->insert(handle);
    return group_.objects.findAt(member.index, handle) == nullptr && !group_.objects.hidden(member.index, handle);
  };
  if (const Outcome read = readInventory(*member.token, control.handle(), wanted, entries); read.rv != CKR_OK)
    return read;
  putAside(member, entries);
  findPublicParts(member, epoch, control.handle(), entries);
  return {};
}

// What is p11ha's own: hidden before anybody can name it. Of what was hidden before, a logout has forgotten.
void Catalog::putAside(GroupMember& member, std::vector<InventoryEntry>& entries) {
  std::erase_if(entries, [&](const InventoryEntry& entry) {
    if (!notes::isNote(entry.identity) && !isOwn(entry.identity)) return false;
    if (auto note = notes::noteOf(entry.identity)) {
      group_.keepNote(member.index, entry.handle, std::move(*note));
    } else {
      group_.objects.hide(member.index, entry.handle);
    }
    return true;
  });
}

// What is made there while it is looked at is not in the list.
Catalog::Bindings Catalog::bindingsOn(const GroupMember& member, std::uint32_t epoch) const {
  Bindings all;
  for (ObjectPtr& object : group_.objects.all()) {
    if (object->isSessionObject()) continue;
    if (const CK_OBJECT_HANDLE at = object->at(member.index, epoch)) all.emplace_back(std::move(object), at);
  }
  return all;
}

// Before what is new is known: the member may have given all its objects other handles, as SoftHSM does once the last
// session of a process is closed.
void Catalog::forgetUnseen(GroupMember& member, std::uint32_t epoch, const Bindings& before,
                           const std::unordered_set<CK_OBJECT_HANDLE>& seen, Holding now) {
  for (const auto& [object, at] : before) {
    if (!seen.contains(at) && object->unbind(member.index, epoch, at, now))
      group_.objects.forgetBinding(member.index, at, object);
  }
}

Outcome Catalog::lookAgain(GroupMember& member, std::uint32_t epoch, OwnSession own) {
  const std::uint64_t login = group_.login.generation();
  const Bindings before = bindingsOn(member, epoch);
  const std::vector<notes::NoteTable::Held> noted = group_.notes.on(member.index);
  std::unordered_set<CK_OBJECT_HANDLE> seen;
  std::vector<InventoryEntry> entries;
  if (const Outcome outcome = read(member, epoch, entries, own, &seen); outcome.rv != CKR_OK) return outcome;
  {
    ControlSession::Use session(member.*own);
    CK_SESSION_INFO info{};
    Outcome outcome = session.open(*member.token, epoch);
    if (outcome.rv == CKR_OK)
      outcome = member.token->execute(cryptoki::makeCall<cryptoki::Fn::GetSessionInfo>(session.handle(), &info));
    if (outcome.rv != CKR_OK) return outcome;
    const bool showsAll = group_.login.user() != CKU_USER || cryptoki::isUsers(info.state);
    if (!showsAll || group_.login.generation() != login) return {CKR_USER_NOT_LOGGED_IN};
  }
  forgetUnseen(member, epoch, before, seen, Holding::Absent);
  install(member, epoch, entries, own, Renames::Unnoted::JustNow);
  for (const auto& [handle, note] : noted) {
    if (!seen.contains(handle)) group_.dropNote(member.index, handle);
  }
  return {};
}

Outcome Catalog::readNotes(GroupMember& member, std::uint32_t epoch, OwnSession own) {
  const std::vector<notes::NoteTable::Held> noted = group_.notes.on(member.index);
  ControlSession::Use control(member.*own);
  if (const Outcome opened = control.open(*member.token, epoch); opened.rv != CKR_OK) return opened;
  Template query = notes::queryForAll();
  std::vector<CK_OBJECT_HANDLE> handles;
  if (const Outcome listed = listObjects(*member.token, control.handle(), query, handles); listed.rv != CKR_OK)
    return listed;
  std::vector<InventoryEntry> entries;
  for (const CK_OBJECT_HANDLE handle : handles) {
    if (group_.objects.hidden(member.index, handle)) continue;
    InventoryEntry entry{handle, {}};
    if (const Outcome read = readIdentity(*member.token, control.handle(), handle, entry.identity); isLoss(read))
      return read;
    entries.push_back(std::move(entry));
  }
  putAside(member, entries);
  for (const auto& [handle, note] : noted) {
    if (std::find(handles.begin(), handles.end(), handle) == handles.end()) group_.dropNote(member.index, handle);
  }
  return {};
}

notes::Subject Catalog::subjectOf(const ObjectPtr& object) {
  beforeHandingOut(object);
  notes::Subject subject = notes::subjectOf(object->identity());
  subject.witness = object->witness();
  return subject;
}

std::vector<ObjectPtr> Catalog::findNew(const notes::Subject& subject, GroupMember& member, std::uint32_t epoch) {
  std::vector<InventoryEntry> entries;
  {
    ControlSession::Use control(member.control);
    if (control.open(*member.token, epoch).rv != CKR_OK) return {};
    Template query;
    query.addUlong(CKA_CLASS, subject.objectClass);
    query.addBool(CKA_TOKEN, true);
    query.addBytes(CKA_LABEL, subject.label);
    if (subject.objectClass != CKO_DATA) query.addBytes(CKA_ID, subject.id);
    std::vector<CK_OBJECT_HANDLE> handles;
    const Outcome listed = listObjects(*member.token, control.handle(), query, handles);
    if (isLoss(listed)) group_.lose(member, epoch, Loss::Dropped, listed.rv);
    if (listed.rv != CKR_OK) return {};
    for (const CK_OBJECT_HANDLE handle : handles) {
      if (group_.objects.findAt(member.index, handle) != nullptr || group_.objects.hidden(member.index, handle))
        continue;
      InventoryEntry entry{handle, {}};
      if (readIdentity(*member.token, control.handle(), handle, entry.identity).rv == CKR_OK)
        entries.push_back(std::move(entry));
    }
    putAside(member, entries);
    if (entries.empty()) return {};
    findPublicParts(member, epoch, control.handle(), entries);
  }
  install(member, epoch, entries, &GroupMember::control, Renames::Unnoted::JustNow);
  std::vector<ObjectPtr> found;
  for (const InventoryEntry& entry : entries) {
    ObjectPtr object = group_.objects.findAt(member.index, entry.handle);
    if (object != nullptr && proveAbout(subject, object, bit(member.index), &GroupMember::control) == Proof::Same)
      found.push_back(std::move(object));
  }
  return found;
}

Proof Catalog::proveAbout(const notes::Subject& subject, const ObjectPtr& object, MemberMask among, OwnSession own) {
  const Identity identity = object->identity();
  switch (notes::compareUnnamed(subject, identity)) {
    case notes::Likeness::Other:
      return Proof::Different;
    case notes::Likeness::Same:
      return Proof::Same;
    case notes::Likeness::Perhaps:
      break;
  }
  switch (identity.objectClass) {
    case CKO_DATA:
      // With neither value nor application, the name is all there is of it.
      return subject.print.empty() && identity.material.empty() ? Proof::Same : Proof::Different;
    case CKO_PRIVATE_KEY: {
      if (!subject.material.empty()) return proveAt(object, subject.material, among, own);
      if (subject.print.empty()) return Proof::Impossible;
      if (const Proof its = settle(object, among, own); its != Proof::Same)
        return its == Proof::Unreachable ? its : Proof::Impossible;
      const bool same = notes::compareUnnamed(subject, object->identity()) == notes::Likeness::Same;
      return same ? Proof::Same : Proof::Different;
    }
    case CKO_SECRET_KEY: {
      if (!subject.witness) return Proof::Impossible;
      Proof proof = Proof::Unreachable;
      for (GroupMember& member : group_.each(among & object->usable())) {
        const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
        if (object->holding(member.index, epoch) != Holding::Held) continue;
        ControlSession::Use session(member.*own);
        if (session.open(*member.token, epoch).rv != CKR_OK) continue;
        proof = proveSecretKey(*subject.witness, {member, session.handle(), object->at(member.index, epoch)});
        if (proof != Proof::Unreachable) break;
      }
      return proof;
    }
    default:
      return Proof::Impossible;
  }
}

// Is a private key, on any of those members, made of that?
Proof Catalog::proveAt(const ObjectPtr& object, const std::vector<std::uint8_t>& material, MemberMask among,
                       OwnSession own) {
  Identity assumed = object->identity();
  assumed.material = material;
  Proof proof = Proof::Unreachable;
  for (GroupMember& member : group_.each(among & object->usable())) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    const CK_OBJECT_HANDLE at = object->at(member.index, epoch);
    if (at == CK_INVALID_HANDLE) continue;
    ControlSession::Use session(member.*own);
    if (session.open(*member.token, epoch).rv != CKR_OK) continue;
    proof = provePrivate(assumed, {member, session.handle(), at});
    if (proof == Proof::Same || proof == Proof::Different) break;
  }
  return proof;
}

void Catalog::findPublicParts(GroupMember& member, std::uint32_t epoch, CK_SESSION_HANDLE session,
                              std::vector<InventoryEntry>& entries) {
  const auto lacksMaterial = [](const InventoryEntry& entry) {
    return entry.identity.objectClass == CKO_PRIVATE_KEY && entry.identity.material.empty();
  };
  if (std::none_of(entries.begin(), entries.end(), lacksMaterial)) return;
  std::vector<Identity> identities;
  identities.reserve(entries.size());
  for (const InventoryEntry& entry : entries) identities.push_back(entry.identity);
  for (const ObjectPtr& object : group_.objects.all()) {
    if (object->at(member.index, epoch) != CK_INVALID_HANDLE) identities.push_back(object->identity());
  }
  const std::vector<Undecided> undecided = lendMaterial(identities);
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i].identity = identities[i];
  for (const Undecided& each : undecided) {
    if (each.key >= entries.size()) continue;
    InventoryEntry& entry = entries[each.key];
    for (const std::size_t publicKey : each.publicKeys) {
      Identity assumed = entry.identity;
      assumed.material = identities[publicKey].material;
      const Proof proof = provePrivate(assumed, {member, session, entry.handle});
      if (proof == Proof::Same) entry.identity = std::move(assumed);
      if (proof != Proof::Different) break;
    }
  }
  // What it signs tells more than what it is called, which costs two signatures, where others are called so.
  std::map<notes::Name, std::size_t> called;
  for (const InventoryEntry& entry : entries) ++called[notes::nameOf(entry.identity)];
  for (const ObjectPtr& object : group_.objects.all()) ++called[notes::nameOf(object->identity())];
  for (InventoryEntry& entry : entries) {
    if (!lacksMaterial(entry) || entry.identity.type != CKK_EC || !entry.identity.token) continue;
    if (called[notes::nameOf(entry.identity)] == 1) continue;
    if (auto shown = showPublicPart({member, session, entry.handle})) entry.identity.material = std::move(*shown);
  }
}

// What another process has changed is known here by its former name, and what it copied would look like another.
void Catalog::renew(GroupMember& member, std::uint32_t epoch, const std::vector<InventoryEntry>& entries,
                    OwnSession own, Renames& renames) {
  if (entries.empty()) return;
  std::vector<ObjectPtr> candidates;
  std::vector<Identity> known;
  candidatesFor(member, epoch, candidates, known);
  const Matches matches = match(entries, known, [&](std::size_t entry, std::size_t index) {
    return renames.mayBe(entries[entry].identity, known[index], candidates[index]->hasGone(member.index, epoch));
  });
  std::set<std::pair<CK_OBJECT_CLASS, CK_ULONG>> strange;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Identity& identity = entries[i].identity;
    if (identity.token && !matches.known[i]) strange.emplace(identity.objectClass, identity.type);
  }
  for (const auto& index : matches.known) {
    if (index) candidates[*index] = nullptr;
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const ObjectPtr& object = candidates[i];
    if (object == nullptr || !strange.contains({known[i].objectClass, known[i].type})) continue;
    for (GroupMember& holder : group_.each(group_.callable() & object->usable() & ~bit(member.index))) {
      if (readAgain(object, holder, own)) break;
    }
  }
}

bool Catalog::readAgain(const ObjectPtr& object, GroupMember& holder, OwnSession own) {
  const std::uint32_t epoch = holder.epoch.load(std::memory_order_acquire);
  if (object->holding(holder.index, epoch) != Holding::Held) return false;
  Identity identity;
  ControlSession::Use session(holder.*own);
  if (session.open(*holder.token, epoch).rv != CKR_OK) return false;
  const CK_OBJECT_HANDLE at = object->at(holder.index, epoch);
  if (readIdentity(*holder.token, session.handle(), at, identity).rv != CKR_OK) return false;
  object->setIdentity(std::move(identity));
  return true;
}

void Catalog::candidatesFor(const GroupMember& member, std::uint32_t epoch, std::vector<ObjectPtr>& candidates,
                            std::vector<Identity>& known) const {
  for (ObjectPtr& object : group_.objects.all()) {
    if (object->at(member.index, epoch) != CK_INVALID_HANDLE || object->isSessionObject()) continue;
    known.push_back(object->identity());
    candidates.push_back(std::move(object));
  }
  // A private key that a call of ours has made has no material before somebody asks.
  lendMaterial(known);
}

void Catalog::install(GroupMember& member, std::uint32_t epoch, const std::vector<InventoryEntry>& entries,
                      OwnSession own, Renames::Unnoted unnoted) {
  Renames renames(group_, unnoted);
  renew(member, epoch, entries, own, renames);
  for (const ObjectPtr& secret : bindAll(member, epoch, entries, renames)) prove(secret, member, epoch, own);
}

bool Catalog::isHeldBeside(const Object& object, const GroupMember& member) const {
  for (const GroupMember& other : group_.each(object.usable() & ~bit(member.index))) {
    if (object.holding(other.index, other.epoch.load(std::memory_order_acquire)) == Holding::Held) return true;
  }
  return false;
}

std::vector<ObjectPtr> Catalog::bindAll(GroupMember& member, std::uint32_t epoch,
                                        const std::vector<InventoryEntry>& entries, Renames& renames) {
  std::vector<ObjectPtr> claimedSecrets;
  base::Lock lock(installing_);
  std::vector<InventoryEntry> fresh;
  for (const InventoryEntry& entry : entries) {
    // Session objects are known from our own calls: one that is not is a key half made, or another's.
    if (!entry.identity.token) continue;
    if (group_.objects.findAt(member.index, entry.handle) != nullptr) continue;
    if (!group_.objects.hidden(member.index, entry.handle)) fresh.push_back(entry);
  }
  if (fresh.empty()) return claimedSecrets;
  std::vector<ObjectPtr> candidates;
  std::vector<Identity> known;
  candidatesFor(member, epoch, candidates, known);
  const Matches matches = match(fresh, known, [&](std::size_t entry, std::size_t index) {
    return renames.mayBe(fresh[entry].identity, known[index], candidates[index]->hasGone(member.index, epoch));
  });
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    const Identity& identity = fresh[i].identity;
    if (const auto index = matches.known[i]) {
      if (identity.objectClass == CKO_PRIVATE_KEY) {
        // What one of the two is made of, the other is, too, if they are the same.
        if (!known[*index].material.empty()) candidates[*index]->lend(known[*index].material);
        if (!identity.material.empty()) candidates[*index]->lend(identity.material);
      }
      const bool wantsProof = identity.isKey() && !isOnlyThere(*candidates[*index], member);
      const Holding holding = wantsProof ? Holding::Claimed : Holding::Held;
      group_.objects.bind(candidates[*index], member.index, epoch, fresh[i].handle, holding);
      if (wantsProof && identity.objectClass == CKO_SECRET_KEY) claimedSecrets.push_back(candidates[*index]);
      continue;
    }
    if (matches.ambiguous[i]) group_.log(halog::AmbiguousObject{describe(identity), member.serial});
    const ObjectPtr found = group_.objects.create(CK_INVALID_HANDLE, identity);
    found->setDoubtful(matches.ambiguous[i]);
    group_.objects.bind(found, member.index, epoch, fresh[i].handle, Holding::Held);
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (matches.knownAmbiguous[i]) candidates[i]->markAmbiguous(member.index, epoch);
  }
  return claimedSecrets;
}

ObjectPtr Catalog::made(GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, CK_SESSION_HANDLE owner,
                        Identity identity) {
  base::Lock lock(installing_);
  if (ObjectPtr found = group_.objects.findAt(member.index, handle)) return found;
  ObjectPtr object = group_.objects.create(owner, std::move(identity));
  group_.objects.bind(object, member.index, epoch, handle, Holding::Held);
  return object;
}

bool Catalog::madeAlso(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle) {
  base::Lock lock(installing_);
  const ObjectPtr found = group_.objects.findAt(member.index, handle);
  if (found != nullptr && found != object) group_.objects.remove(found);
  return group_.objects.bind(object, member.index, epoch, handle, Holding::Held);
}

CK_OBJECT_HANDLE Catalog::handleOn(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch, OwnSession own) {
  switch (object->holding(member.index, epoch)) {
    case Holding::Held:
      return object->at(member.index, epoch);
    case Holding::Claimed:
      return prove(object, member, epoch, own);
    case Holding::Unknown:
      // A member that has failed meanwhile is not asked what it holds now.
      if (member.epoch.load(std::memory_order_acquire) != epoch) break;
      refresh(bit(member.index), own);
      if (object->holding(member.index, epoch) == Holding::Unknown) object->markAbsent(member.index, epoch);
      return object->holding(member.index, epoch) == Holding::Claimed ? prove(object, member, epoch, own)
                                                                      : object->at(member.index, epoch);
    case Holding::Absent:
    case Holding::Ambiguous:
      break;
  }
  return CK_INVALID_HANDLE;
}

// For each use it may want the PIN again (CKA_ALWAYS_AUTHENTICATE).
std::optional<Credentials> Catalog::authenticationFor(const KeyOn& key) {
  static constexpr CK_ATTRIBUTE_TYPE kAuthenticate[] = {CKA_ALWAYS_AUTHENTICATE};
  Template wants;
  cryptoki::readAttributes(*key.member.token, key.session, key.key, kAuthenticate, wants);
  auto credentials = group_.login.credentials();
  const bool authenticate =
      wants.boolean(CKA_ALWAYS_AUTHENTICATE).value_or(false) && credentials && credentials->userType == CKU_USER;
  return authenticate ? std::move(credentials) : std::nullopt;
}

Proof Catalog::provePrivate(const Identity& identity, const KeyOn& key) {
  const auto credentials = authenticationFor(key);
  return provePrivateKey(identity, key, credentials ? &*credentials : nullptr);
}

base::Result<std::vector<std::uint8_t>, Proof> Catalog::showPublicPart(const KeyOn& key) {
  const auto credentials = authenticationFor(key);
  return ha::showPublicPart(key, credentials ? &*credentials : nullptr);
}

// Whether its lent material is its own, or what it is made of where none is, a member that certainly holds it shows.
Proof Catalog::settle(const ObjectPtr& object, MemberMask among, OwnSession own) {
  const bool isSettled = !object->isUnsettled();
  const Identity identity = object->identity();
  if (isSettled) return identity.material.empty() ? Proof::Impossible : Proof::Same;
  for (GroupMember& member : group_.each(among & object->usable())) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    if (object->holding(member.index, epoch) != Holding::Held) continue;
    ControlSession::Use session(member.*own);
    if (session.open(*member.token, epoch).rv != CKR_OK) continue;
    const KeyOn key{member, session.handle(), object->at(member.index, epoch)};
    const Proof proof = identity.lent ? provePrivate(identity, key) : Proof::Different;
    if (proof == Proof::Unreachable) continue;
    if (proof != Proof::Different || identity.type != CKK_EC) {
      object->settle(identity.material, proof == Proof::Same);
      return proof;
    }
    auto shown = showPublicPart(key);
    if (!shown && shown.error() == Proof::Unreachable) continue;
    const Proof found = shown ? Proof::Same : shown.error();
    object->settle(identity.material, false, shown ? std::move(*shown) : std::vector<std::uint8_t>());
    return found;
  }
  return Proof::Unreachable;
}

Proof Catalog::proveOn(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch, OwnSession own) {
  const Identity identity = object->identity();
  const CK_OBJECT_HANDLE claimed = object->at(member.index, epoch);
  if (identity.objectClass == CKO_PRIVATE_KEY) {
    if (const Proof its = settle(object, group_.callable() & ~bit(member.index), own); its != Proof::Same) return its;
    ControlSession::Use session(member.*own);
    if (session.open(*member.token, epoch).rv != CKR_OK) return Proof::Unreachable;
    return provePrivate(object->identity(), {member, session.handle(), claimed});
  }
  if (const auto witness = object->witness()) {
    ControlSession::Use session(member.*own);
    if (session.open(*member.token, epoch).rv != CKR_OK) return Proof::Unreachable;
    // A member that has not the witness's mechanism may have another.
    const Proof proof = proveSecretKey(*witness, {member, session.handle(), claimed});
    if (proof != Proof::Impossible) return proof;
  }
  // One that does not answer is no reason to ask no other.
  Proof proof = Proof::Unreachable;
  for (GroupMember& reference : group_.each(group_.callable() & object->usable() & ~bit(member.index))) {
    const std::uint32_t referenceEpoch = reference.epoch.load(std::memory_order_acquire);
    if (object->holding(reference.index, referenceEpoch) != Holding::Held) continue;
    proof = proveBeside(object, {reference, referenceEpoch}, {member, epoch}, own);
    if (proof != Proof::Unreachable) break;
  }
  return proof;
}

Proof Catalog::proveBeside(const ObjectPtr& object, const Holder& reference, const Holder& candidate, OwnSession own) {
  // Those of two members at once are always taken in the order of the list.
  const bool candidateFirst = candidate.member.index < reference.member.index;
  ControlSession& former = (candidateFirst ? candidate : reference).member.*own;
  ControlSession& latter = (candidateFirst ? reference : candidate).member.*own;
  ControlSession::Use first(former);
  ControlSession::Use second(latter);
  const auto keyOn = [&](const Holder& holder, ControlSession::Use& use) -> std::optional<KeyOn> {
    if (use.open(*holder.member.token, holder.epoch).rv != CKR_OK) return std::nullopt;
    return KeyOn{holder.member, use.handle(), object->at(holder.member.index, holder.epoch)};
  };
  const auto here = keyOn(candidate, candidateFirst ? first : second);
  const auto there = keyOn(reference, candidateFirst ? second : first);
  return here && there ? proveSecretKey(*there, *here) : Proof::Unreachable;
}

bool Catalog::isOnlyThere(const Object& object, const GroupMember& member) const {
  return !object.isTold() && !isHeldBeside(object, member);
}

CK_OBJECT_HANDLE Catalog::prove(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch, OwnSession own) {
  const CK_OBJECT_HANDLE claimed = object->at(member.index, epoch);
  if (isOnlyThere(*object, member)) {
    group_.objects.bind(object, member.index, epoch, claimed, Holding::Held);
    return claimed;
  }
  switch (proveOn(object, member, epoch, own)) {
    case Proof::Same:
      group_.objects.bind(object, member.index, epoch, claimed, Holding::Held);
      return claimed;
    case Proof::Different:
    case Proof::Impossible:
      object->markAmbiguous(member.index, epoch);
      group_.log(halog::AmbiguousObject{describe(object->identity()), member.serial});
      break;
    case Proof::Unreachable:
      break;
  }
  return CK_INVALID_HANDLE;
}

void Catalog::beforeHandingOut(const ObjectPtr& object) {
  if (object->isUnsettled() && settle(object, group_.callable(), &GroupMember::control) == Proof::Unreachable) return;
  if (!object->wantsWitness()) return object->setTold();
  for (GroupMember& member : group_.each(group_.callable() & object->usable())) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    if (object->holding(member.index, epoch) != Holding::Held) continue;
    ControlSession::Use control(member.control);
    if (control.open(*member.token, epoch).rv != CKR_OK) continue;
    if (auto witness = bearWitness({member, control.handle(), object->at(member.index, epoch)})) {
      object->setWitness(std::move(*witness));
      return object->setTold();
    }
  }
}

bool Catalog::knows(GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle) {
  ControlSession::Use control(member.control);
  if (control.open(*member.token, epoch).rv != CKR_OK) return false;
  static constexpr CK_ATTRIBUTE_TYPE kClass[] = {CKA_CLASS};
  Template there;
  return cryptoki::readAttributes(*member.token, control.handle(), handle, kClass, there).rv == CKR_OK;
}

void Catalog::resolveAgain(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch) {
  const CK_OBJECT_HANDLE stale = object->at(member.index, epoch);
  // Of several objects in a call one is meant: those that the member still knows are not.
  if (stale != CK_INVALID_HANDLE && knows(member, epoch, stale)) return;
  object->markAbsent(member.index, epoch);
  if (stale != CK_INVALID_HANDLE) group_.objects.forgetBinding(member.index, stale);
  refresh(bit(member.index));
}

std::vector<ObjectPtr> Catalog::onlyElsewhere(const GroupView& view) const {
  std::vector<ObjectPtr> objects;
  if (view.none()) return objects;
  for (ObjectPtr& object : group_.objects.all()) {
    const MemberMask holders = object->usable() & view.serving;
    if (holders != 0 && (holders & bit(view.primary())) == 0) objects.push_back(std::move(object));
  }
  return objects;
}

}  // namespace p11ha::ha
