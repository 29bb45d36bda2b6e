#include "ha/resync.h"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

namespace p11ha::ha {

using notes::Change;
using notes::Name;
using notes::nameOf;
using notes::Note;
using notes::Subject;
using notes::Tombstone;

namespace {

// One note is the same to the byte on whichever member it is.
std::string bytesOf(const Note& note) {
  const std::vector<std::uint8_t> bytes = notes::encode(note);
  return {bytes.begin(), bytes.end()};
}

SyncNote::Sort sortOf(const Note& note) {
  const auto* const tombstone = std::get_if<Tombstone>(&note.says);
  if (tombstone == nullptr) return SyncNote::Sort::Changed;
  return tombstone->cancelled ? SyncNote::Sort::MadeAnew : SyncNote::Sort::Destroyed;
}

}  // namespace

Resync::View Resync::look(MemberMask here, GroupMember* returned, std::uint32_t epoch) {
  View view;
  view.returned = returned;
  view.state.configured = group_.members.present();
  view.state.here = here;
  view.state.returned = returned == nullptr ? 0 : bit(returned->index);
  for (const GroupMember& member : group_.each(group_.members.everyone())) {
    view.epochs.at(member.index) = member.epoch.load(std::memory_order_acquire);
  }
  if (returned != nullptr) view.epochs.at(returned->index) = epoch;
  lookAtObjects(view);
  settleDoubts(view);
  lookAtNotes(view);
  if (!view.notes.empty()) resolve(view);
  return view;
}

MemberMask Resync::certainHolders(const View& view, const Object& object) const {
  MemberMask holders = 0;
  for (const GroupMember& member : group_.members.each(view.state.here & object.usable())) {
    if (object.holding(member.index, view.epochs.at(member.index)) == Holding::Held) holders |= bit(member.index);
  }
  return holders;
}

void Resync::lookAtObjects(View& view) {
  view.objects = group_.objects.all();
  view.state.objects.reserve(view.objects.size());
  for (const ObjectPtr& object : view.objects) {
    SyncObject& seen = view.state.objects.emplace_back();
    seen.alive = object->alive();
    seen.lasting = !object->isSessionObject();
    seen.isKey = object->mayBeKey();
    seen.holders = certainHolders(view, *object);
    if (object->isUnderWay()) seen.unclear |= view.state.here & ~seen.holders;
    for (GroupMember& member : group_.each(view.state.here & ~seen.holders)) {
      const Holding holding = object->holding(member.index, view.epochs.at(member.index));
      if (holding == Holding::Claimed && catalog_.isOnlyThere(*object, member)) {
        catalog_.handleOn(object, member, view.epochs.at(member.index), kOwn);
        seen.holders |= bit(member.index);
      } else if (holding == Holding::Claimed || holding == Holding::Ambiguous) {
        seen.unclear |= bit(member.index);
      }
    }
  }
}

// What looked like several others is one of them, or its own. As long as nobody can tell, it is copied nowhere.
void Resync::settleDoubts(View& view) {
  std::map<Name, std::vector<std::size_t>> byName;
  for (std::size_t i = 0; i < view.objects.size(); ++i) {
    const SyncObject& seen = view.state.objects[i];
    if (seen.alive && seen.lasting && seen.unclear != 0 && seen.holders != 0)
      byName[nameOf(view.objects[i]->identity())].push_back(i);
  }
  for (std::size_t i = 0; i < view.objects.size(); ++i) {
    SyncObject& doubtful = view.state.objects[i];
    if (!view.objects[i]->isDoubtful() || !doubtful.alive || doubtful.holders == 0) continue;
    for (const std::size_t index : byName[nameOf(view.objects[i]->identity())]) {
      SyncObject& other = view.state.objects[index];
      if (index == i || (doubtful.holders & ~other.unclear) != 0) continue;
      const Proof proof = proveSame(view, index, i);
      if (proof == Proof::Same) {
        join(view, i, index);
        break;
      }
      if (proof != Proof::Different) doubtful.isDisputed = true;
    }
    if (doubtful.alive && !doubtful.isDisputed) view.objects[i]->setDoubtful(false);
  }
}

// By what the one would be known by if it were noted.
Proof Resync::proveSame(const View& view, std::size_t one, std::size_t other) {
  return catalog_.proveAbout(catalog_.subjectOf(view.objects[one]), view.objects[other], view.state.here, kOwn);
}

// They are one object: what was bound to the former is to the latter from now on.
void Resync::join(View& view, std::size_t from, std::size_t to) {
  SyncObject& other = view.state.objects[from];
  SyncObject& whole = view.state.objects[to];
  for (GroupMember& member : group_.each(other.holders)) {
    const std::uint32_t epoch = view.epochs.at(member.index);
    const CK_OBJECT_HANDLE at = view.objects[from]->at(member.index, epoch);
    if (!catalog_.madeAlso(view.objects[to], member, epoch, at)) continue;
    whole.holders |= bit(member.index);
    whole.unclear &= ~bit(member.index);
  }
  other = {};
  other.alive = false;
}

void Resync::lookAtNotes(View& view) {
  std::map<std::string, std::size_t> known;
  for (const GroupMember& member : group_.each(view.state.here)) {
    for (auto& [handle, note] : group_.notes.on(member.index)) {
      if (!note.missedAt() || note.group != group_.policy().serial) continue;
      const auto [at, isNew] = known.try_emplace(bytesOf(note), view.notes.size());
      if (isNew) {
        SyncNote& seen = view.state.notes.emplace_back();
        seen.sort = sortOf(note);
        seen.at = *note.missedAt();
        if (const auto* const change = std::get_if<Change>(&note.says)) seen.types = change->types;
        view.noteHandles.emplace_back();
        view.notes.push_back(std::move(note));
      }
      view.state.notes[at->second].holders |= bit(member.index);
      view.noteHandles[at->second].emplace(member.index, handle);
    }
  }
  std::set<std::string_view> serials;
  for (const Note& note : view.notes) serials.insert(note.by());
  for (std::size_t i = 0; i < view.notes.size(); ++i) {
    const auto at = serials.find(view.notes[i].by());
    view.state.notes[i].rank = static_cast<unsigned>(std::distance(serials.begin(), at));
  }
}

Resync::ByName Resync::byName(const View& view) const {
  ByName all;
  for (std::size_t i = 0; i < view.objects.size(); ++i) {
    const SyncObject& object = view.state.objects[i];
    if (object.lasting && (object.holders | object.unclear) != 0) all.emplace(nameOf(view.objects[i]->identity()), i);
  }
  return all;
}

// All of that class and type, where they did not miss a change: another process may have renamed one before it noted
// what else became of it.
void Resync::readNamesAgain(View& view, const Subject& like) {
  for (std::size_t i = 0; i < view.objects.size(); ++i) {
    const SyncObject& seen = view.state.objects[i];
    const Identity identity = view.objects[i]->identity();
    if (!seen.alive || !seen.lasting || identity.objectClass != like.objectClass || identity.type != like.type)
      continue;
    for (GroupMember& holder : group_.each(seen.holders & ~view.state.returned)) {
      if (catalog_.readAgain(view.objects[i], holder, kOwn)) break;
    }
  }
}

// Which objects the notes are about.
void Resync::resolve(View& view) {
  ByName known = byName(view);
  const notes::Names names(view.notes);
  const auto find = [&](const Subject& about) {
    std::vector<std::size_t> found;
    for (const Name& name : names.of(nameOf(about))) {
      for (auto [at, end] = known.equal_range(name); at != end; ++at) found.push_back(at->second);
    }
    return found;
  };
  std::set<std::pair<CK_OBJECT_CLASS, CK_ULONG>> readAgain;
  // Changes first: what they are about may be two objects as yet.
  for (const bool changes : {true, false}) {
    for (std::size_t i = 0; i < view.notes.size(); ++i) {
      SyncNote& note = view.state.notes[i];
      if ((note.sort == SyncNote::Sort::Changed) != changes) continue;
      const Subject& about = view.notes[i].about();
      std::vector<std::size_t> among = find(about);
      // What all of those here bear asks for nothing any more. Who notes a change has the object.
      const bool isMissed = (view.state.here & ~note.holders) != 0;
      const bool isFound = std::any_of(among.begin(), among.end(), [&](std::size_t index) {
        return !changes || (view.state.objects[index].holders & note.holders) != 0;
      });
      if (!isFound && isMissed && readAgain.emplace(about.objectClass, about.type).second) {
        readNamesAgain(view, about);
        known = byName(view);
        among = find(about);
      }
      note.objects = pick(view, about, among, note);
      if (changes) unite(view, note);
    }
  }
}

std::vector<std::size_t> Resync::pick(View& view, const Subject& subject, const std::vector<std::size_t>& among,
                                      SyncNote& note) {
  std::vector<std::size_t> picked;
  for (const std::size_t index : among) {
    SyncObject& seen = view.state.objects[index];
    const ObjectPtr& object = view.objects[index];
    if (seen.holders == 0 && seen.unclear == 0) continue;
    switch (catalog_.proveAbout(subject, object, view.state.here, kOwn)) {
      case Proof::Same:
        break;
      case Proof::Different:
        continue;
      case Proof::Impossible:
        if (note.sort == SyncNote::Sort::MadeAnew) break;  // to leave it is what the note wants
        if (!seen.isDisputed) {
          const MemberMask where = seen.holders != 0 ? seen.holders : seen.unclear;
          const auto first = static_cast<unsigned>(std::countr_zero(where));
          group_.log(halog::AmbiguousObject{describe(object->identity()), group_.member(first).serial});
        }
        [[fallthrough]];
      case Proof::Unreachable:
        note.isDisputed = true;
        seen.isDisputed = seen.isDisputed || note.sort == SyncNote::Sort::Destroyed;
        continue;
    }
    // Where it only seemed to be it is or is not, from now on.
    for (GroupMember& member : group_.each(view.state.here & seen.unclear)) {
      if (catalog_.handleOn(object, member, view.epochs.at(member.index), kOwn) == CK_INVALID_HANDLE) continue;
      seen.holders |= bit(member.index);
      seen.unclear &= ~bit(member.index);
    }
    picked.push_back(index);
  }
  return picked;
}

// An object with other names, or another label, on members that missed it being renamed.
void Resync::unite(View& view, SyncNote& note) {
  const auto changed = std::find_if(note.objects.begin(), note.objects.end(), [&](std::size_t index) {
    return (view.state.objects[index].holders & note.holders) != 0;
  });
  if (changed == note.objects.end()) return;
  const std::size_t base = *changed;
  for (const std::size_t index : std::exchange(note.objects, {base})) {
    if (index == base) continue;
    const SyncObject& other = view.state.objects[index];
    const SyncObject& whole = view.state.objects[base];
    if ((other.holders & (note.holders | whole.holders | whole.unclear)) != 0) continue;
    join(view, index, base);
  }
}

std::set<std::string> Resync::noted() const {
  std::set<std::string> all;
  for (const GroupMember& member : group_.each(group_.members.everyone())) {
    for (const notes::NoteTable::Held& held : group_.notes.on(member.index)) {
      if (held.note.missedAt()) all.insert(bytesOf(held.note));
    }
  }
  return all;
}

// Those that were not there when that was planned.
std::vector<Note> Resync::newTombstones(const View& view) const {
  std::set<std::string> known;
  for (const Note& note : view.notes) known.insert(bytesOf(note));
  std::vector<Note> all = group_.notes.ofMissed(group_.policy().serial);
  std::erase_if(all, [&](const Note& note) {
    return sortOf(note) != SyncNote::Sort::Destroyed || !known.insert(bytesOf(note)).second;
  });
  return all;
}

// What was noted while the members were looked at, one after another, may be about an object that one of them was not
// known to hold when it was looked at: a tombstone that is put beside that one would say that it was made anew. So is
// what tells under which name the object is to be looked for.
void Resync::setFresh(View& view, const std::set<std::string>& known) {
  const notes::Names names(view.notes);
  std::set<Name> fresh;
  for (const Note& note : view.notes) {
    if (!known.contains(bytesOf(note))) fresh.merge(names.of(nameOf(note.about())));
  }
  for (std::size_t i = 0; i < view.notes.size(); ++i) {
    SyncNote& note = view.state.notes[i];
    note.isFresh = fresh.contains(nameOf(view.notes[i].about()));
    // As long as the member does not serve, there may be another at every look.
    const bool isLeft = note.isFresh && (view.state.here & ~note.holders) != 0;
    if (isLeft && (group_.view().synced & view.state.returned) != 0) view.result.isWhole = false;
  }
}

}  // namespace p11ha::ha
