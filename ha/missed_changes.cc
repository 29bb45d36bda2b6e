#include "ha/missed_changes.h"

#include <algorithm>

#include "ha/notes/on_member.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using notes::Change;
using notes::Note;
using notes::Subject;
using notes::Tombstone;

Subject MissedChanges::subjectOf(const ObjectPtr& object) {
  Subject subject = catalog_.subjectOf(object);
  // It is kept from whoever may not see the key.
  if (!subject.isPrivate) subject.witness.reset();
  return subject;
}

void MissedChanges::readAgain(const ObjectPtr& object) {
  for (GroupMember& member : group_.each(group_.callable() & object->usable())) {
    // Whoever held it for certain may have been lost.
    catalog_.handleOn(object, member, member.epoch.load(std::memory_order_acquire));
    if (catalog_.readAgain(object, member, &GroupMember::control)) return;
  }
}

Subject MissedChanges::before(const ObjectPtr& object) {
  // What another process has renamed since it was read would be noted under a name that nothing leads to.
  if (group_.policy().synchronize && !object->isSessionObject()) readAgain(object);
  Subject known = subjectOf(object);
  for (const GroupMember& member : group_.each(group_.receivers())) {
    // Another process that makes it may not have come to that member when it was looked for.
    const Holding seen = object->holding(member.index, member.epoch.load(std::memory_order_acquire));
    const bool mayHaveCome = (seen == Holding::Absent || seen == Holding::Unknown) && !object->isSessionObject();
    if (mayHaveCome && group_.policy().synchronize) catalog_.refresh(bit(member.index));
  }
  return known;
}

// Later than all that is known here, whatever the clocks of those say who noted it.
std::uint64_t MissedChanges::stamp() const {
  return std::max(base::milliseconds(group_.clock.wall()), group_.notes.latest() + 1);
}

std::string MissedChanges::by(const Reached& reached) const {
  return reached.done == 0 ? std::string()
                           : group_.members[static_cast<unsigned>(std::countr_zero(reached.done))].serial;
}

bool MissedChanges::isDegraded() const { return (group_.members.present() & ~group_.well(group_.view().synced)) != 0; }

void MissedChanges::destroyed(Session& session, const Subject& about, const Reached& reached) {
  if (!group_.policy().synchronize || reached.unsure == 0) return;
  note(session, {group_.policy().serial, Tombstone{about, stamp(), false, by(reached)}}, reached);
}

void MissedChanges::changed(Session& session, const Subject& before, const ObjectPtr& object,
                            std::span<const CK_ATTRIBUTE> attributes, const Reached& reached) {
  if (!group_.policy().synchronize || reached.unsure == 0) return;
  Change change{before, subjectOf(object), {}, stamp(), by(reached)};
  for (const CK_ATTRIBUTE& attribute : attributes) change.types.push_back(attribute.type);
  note(session, {group_.policy().serial, std::move(change)}, reached);
}

void MissedChanges::made(Session& session, const ObjectPtr& object) {
  if (!group_.policy().synchronize || object->isSessionObject()) return;
  const bool degraded = isDegraded();
  const MemberMask members = group_.well(group_.receivers());
  // Another process may have destroyed it before.
  for (GroupMember& member : group_.each(degraded ? members : 0))
    catalog_.readNotes(member, member.epoch.load(std::memory_order_acquire), &GroupMember::control);
  if (!group_.notes.tellOfMissed()) return;

  const Identity identity = object->identity();
  const auto isOfIt = [&](const Tombstone& tombstone) {
    if (tombstone.about.label != identity.label || tombstone.about.id != identity.id) return false;
    // One that is cancelled in vain costs nothing but the work.
    return catalog_.proveAbout(tombstone.about, object, members, &GroupMember::control) != Proof::Different;
  };
  std::vector<std::pair<GroupMember*, CK_OBJECT_HANDLE>> cancelled;
  // What a member holds that is away now counts, too, if it was seen.
  bool any = false;
  for (GroupMember& member : group_.each(group_.members.present())) {
    for (const auto& [handle, note] : group_.notes.on(member.index)) {
      const auto* const tombstone = std::get_if<Tombstone>(&note.says);
      if (tombstone == nullptr || note.group != group_.policy().serial || !isOfIt(*tombstone)) continue;
      any = true;
      cancelled.emplace_back(&member, handle);
    }
  }
  if (!any) return;
  if (degraded) {
    const Reached reached{members & object->usable(), group_.members.present() & ~members};
    note(session, {group_.policy().serial, Tombstone{subjectOf(object), stamp(), true, by(reached)}}, reached);
  }
  for (const auto& [member, handle] : cancelled) {
    if ((members & bit(member->index)) != 0) erase(*member, session, handle);
  }
}

void MissedChanges::note(Session& session, const Note& note, const Reached& reached) {
  bool written = false;
  Outcome refusal{CKR_DEVICE_ERROR};
  for (GroupMember& member : group_.each(reached.done & group_.well(group_.receivers()))) {
    const Outcome outcome = writeOn(member, session, note);
    written = written || outcome.rv == CKR_OK;
    if (outcome.rv != CKR_OK && !isLoss(outcome)) refusal = outcome;
  }
  if (written) return;
  Identity identity;
  identity.objectClass = note.about().objectClass;
  identity.label = note.about().label;
  identity.id = note.about().id;
  for (const GroupMember& member : group_.each(reached.unsure & ~group_.view().synced)) {
    group_.log(
        halog::UnsyncedObject{describe(identity), member.serial, {refusal.rv, cryptoki::returnCodeName(refusal.rv)}});
  }
}

Outcome MissedChanges::writeOn(GroupMember& member, Session& session, const Note& note) {
  cryptoki::Template wanted = notes::templateOf(note);
  if (wanted.empty()) return {CKR_DATA_LEN_RANGE};
  const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  const Outcome outcome = failover_.callOn(
      member, epoch, session, makeCall<Fn::CreateObject>(CK_SESSION_HANDLE{0}, wanted.data(), wanted.count(), &handle));
  if (outcome.rv == CKR_OK) group_.keepNote(member.index, handle, note);
  return outcome;
}

void MissedChanges::erase(GroupMember& member, Session& session, CK_OBJECT_HANDLE handle) {
  const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
  const Outcome outcome =
      failover_.callOn(member, epoch, session, makeCall<Fn::DestroyObject>(CK_SESSION_HANDLE{0}, handle));
  if (outcome.rv == CKR_OK || outcome.rv == CKR_OBJECT_HANDLE_INVALID) group_.dropNote(member.index, handle);
}

}  // namespace p11ha::ha
