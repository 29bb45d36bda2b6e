#include "ha/key_records.h"

#include <set>

#include "cryptoki/attribute_reader.h"
#include "ha/notes/on_member.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using notes::NoteTable;
using notes::Truth;

namespace {

constexpr std::chrono::minutes kYoung{10};

// Could a record of the one be taken for one of the other?
bool isAlike(const Identity& one, const Identity& other) {
  if (one.objectClass != other.objectClass || one.type != other.type || one.isPrivate != other.isPrivate) return false;
  if (one.material.empty() || other.material.empty()) return one.label == other.label && one.id == other.id;
  return one.material == other.material;
}

bool isNamed(const notes::Subject& subject, const Identity& identity) {
  return subject.label == identity.label && subject.id == identity.id;
}

// What a record and its key have in common, at least one of the two.
using Sign = std::tuple<CK_OBJECT_CLASS, CK_ULONG, bool, std::vector<std::uint8_t>, std::vector<std::uint8_t>>;
Sign byPrint(const notes::Subject& s) { return {s.objectClass, s.type, s.isPrivate, s.print, {}}; }
Sign byName(const notes::Subject& s) { return {s.objectClass, s.type, s.isPrivate, s.label, s.id}; }

}  // namespace

Outcome readTruth(cryptoki::Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, Truth& truth) {
  CK_BBOOL local = CK_FALSE;
  CK_BBOOL alwaysSensitive = CK_FALSE;
  CK_BBOOL neverExtractable = CK_FALSE;
  CK_ULONG mechanism = CK_UNAVAILABLE_INFORMATION;
  CK_ULONG length = 0;
  CK_BBOOL sensitive = CK_FALSE;
  std::array<CK_ATTRIBUTE, 6> read{{{CKA_LOCAL, &local, sizeof local},
                                    {CKA_KEY_GEN_MECHANISM, &mechanism, sizeof mechanism},
                                    {CKA_ALWAYS_SENSITIVE, &alwaysSensitive, sizeof alwaysSensitive},
                                    {CKA_NEVER_EXTRACTABLE, &neverExtractable, sizeof neverExtractable},
                                    {CKA_VALUE_LEN, &length, sizeof length},
                                    {CKA_SENSITIVE, &sensitive, sizeof sensitive}}};
  const Outcome outcome = member.execute(makeCall<Fn::GetAttributeValue>(session, key, read.data(), read.size()));
  if (!cryptoki::carriesValues(outcome.rv)) return outcome;
  truth = truthIn(read);
  // Any other travels by its value, which tells how long it is.
  if (sensitive == CK_FALSE) truth.valueLength = 0;
  return {};
}

std::optional<Truth> KeyRecords::truthOf(Object& object) const {
  if (!object.mayBeGenerated()) return std::nullopt;
  auto truth = object.truth();
  if (truth || object.isSessionObject()) return truth;
  truth = group_.notes.truthOf(object.identity());
  if (truth) object.setTruth(*truth);
  return truth;
}

bool KeyRecords::needed(bool isSealed, bool canBeCloned) const {
  return isSealed || (canBeCloned && group_.policy().synchronize && group_.members.size() > 1);
}

CK_OBJECT_HANDLE KeyRecords::put(GroupMember& member, std::uint32_t epoch, notes::Note note, OwnSession own,
                                 Outcome& outcome) {
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  ControlSession::Use session(member.*own);
  outcome = session.open(*member.token, epoch);
  if (outcome.rv == CKR_OK) outcome = notes::write(*member.token, session.handle(), note, handle);
  if (outcome.rv != CKR_OK) return CK_INVALID_HANDLE;
  group_.keepNote(member.index, handle, std::move(note));
  return handle;
}

CK_OBJECT_HANDLE KeyRecords::write(GroupMember& member, std::uint32_t epoch, const Identity& key, const Truth& truth,
                                   OwnSession own) {
  Outcome outcome;
  const CK_OBJECT_HANDLE handle = put(
      member, epoch,
      {group_.policy().serial, notes::Record{notes::subjectOf(key), truth, base::milliseconds(group_.clock.wall())}},
      own, outcome);
  if (isLoss(outcome)) group_.lose(member, epoch, Loss::Dropped, outcome.rv);
  return handle;
}

void KeyRecords::erase(GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE record, OwnSession own) {
  if (record == CK_INVALID_HANDLE || member.lostSince(epoch)) return;
  ControlSession::Use session(member.*own);
  Outcome outcome = session.open(*member.token, epoch);
  if (outcome.rv == CKR_OK) outcome = member.token->execute(makeCall<Fn::DestroyObject>(session.handle(), record));
  if (isLoss(outcome)) group_.lose(member, epoch, Loss::Dropped, outcome.rv);
  if (outcome.rv == CKR_OK || outcome.rv == CKR_OBJECT_HANDLE_INVALID) group_.dropNote(member.index, record);
}

void KeyRecords::follow(const ObjectPtr& object, const Identity& before, const Truth& truth, bool isNews) {
  const Identity now = object->identity();
  const bool isRenamed = now.label != before.label || now.id != before.id || now.isPrivate != before.isPrivate;
  if (object->isSessionObject() || (!isRenamed && !isNews)) return;
  for (GroupMember& member : group_.each(group_.well(group_.receivers()) & object->usable())) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    const std::vector<NoteTable::Held> former = group_.notes.recordsOf(member.index, before);
    if (former.empty() && !isNews) continue;
    if (write(member, epoch, now, truth) == CK_INVALID_HANDLE) continue;
    for (const NoteTable::Held& record : former) {
      if (isNamed(record.note.about(), before)) erase(member, epoch, record.handle);
    }
  }
}

void KeyRecords::destroyed(const Identity& key) {
  std::optional<bool> otherIsNamedSo;
  bool isOther = false;
  for (GroupMember& member : group_.each(group_.well(group_.receivers()))) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    for (const NoteTable::Held& record : group_.notes.recordsOf(member.index, key)) {
      if (!otherIsNamedSo) {
        otherIsNamedSo = false;
        for (const ObjectPtr& object : group_.objects.all()) {
          const Identity other = object->identity();
          if (object->isSessionObject() || !isAlike(key, other)) continue;
          isOther = true;
          if (other.label == key.label && other.id == key.id) otherIsNamedSo = true;
        }
      }
      if (isNamed(record.note.about(), key) ? *otherIsNamedSo : isOther) continue;
      erase(member, epoch, record.handle);
    }
  }
}

void KeyRecords::adopt(const ObjectPtr& object, GroupMember& source, std::uint32_t epoch) {
  if (object->isSessionObject() || !object->mayBeGenerated() || truthOf(*object)) return;
  Truth truth;
  {
    ControlSession::Use session(source.resync);
    if (session.open(*source.token, epoch).rv != CKR_OK) return;
    const CK_OBJECT_HANDLE there = object->at(source.index, epoch);
    if (readTruth(*source.token, session.handle(), there, truth).rv != CKR_OK) return;
  }
  // As any clone would read by itself.
  if (truth == Truth{}) return;
  write(source, epoch, object->identity(), truth, &GroupMember::resync);
}

Outcome KeyRecords::complete(GroupMember& member, std::uint32_t epoch) {
  for (const ObjectPtr& object : group_.objects.all()) {
    if (object->isSessionObject() || !object->mayBeGenerated()) continue;
    if (object->at(member.index, epoch) == CK_INVALID_HANDLE) continue;
    const Identity identity = object->identity();
    auto record = group_.notes.recordOf(identity);
    if (!record || !group_.notes.recordsOf(member.index, identity).empty()) continue;
    Outcome outcome;
    put(member, epoch, std::move(*record), &GroupMember::resync, outcome);
    if (isLoss(outcome)) return outcome;
  }
  return {};
}

bool KeyRecords::seesAll() const {
  return group_.policy().synchronize && group_.login.user() == CKU_USER &&
         group_.well(group_.view().synced) == group_.members.present();
}

std::vector<KeyRecords::Stale> KeyRecords::stale() const {
  const std::uint64_t young = base::milliseconds(group_.clock.wall() - kYoung);
  std::vector<std::pair<Stale, notes::Subject>> old;
  for (const GroupMember& member : group_.members.each(group_.members.present())) {
    for (const NoteTable::Held& held : group_.notes.on(member.index)) {
      const auto* const record = std::get_if<notes::Record>(&held.note.says);
      if (record != nullptr && held.note.group == group_.policy().serial && record->at < young)
        old.emplace_back(Stale{member.index, held.handle}, record->about);
    }
  }
  std::vector<Stale> found;
  if (old.empty()) return found;
  std::set<Sign> signs;
  for (const ObjectPtr& object : group_.objects.all()) {
    if (object->isSessionObject()) continue;
    const notes::Subject subject = notes::subjectOf(object->identity());
    if (!subject.print.empty()) signs.insert(byPrint(subject));
    signs.insert(byName(subject));
  }
  for (const auto& [record, about] : old) {
    const bool isOfOne = (!about.print.empty() && signs.contains(byPrint(about))) || signs.contains(byName(about));
    if (!isOfOne) found.push_back(record);
  }
  return found;
}

void KeyRecords::sweep() {
  if (!seesAll() || stale().empty()) return;
  // Another process may have made the key since they were read.
  const std::uint64_t login = group_.login.generation();
  catalog_.refresh(group_.view().synced, &GroupMember::resync);
  if (!seesAll() || group_.login.generation() != login) return;
  for (const Stale& record : stale()) {
    GroupMember& member = group_.member(record.member);
    erase(member, member.epoch.load(std::memory_order_acquire), record.record, &GroupMember::resync);
  }
}

}  // namespace p11ha::ha
