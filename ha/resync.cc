#include "ha/resync.h"

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

#include "cryptoki/attribute.h"
#include "cryptoki/attribute_reader.h"
#include "cryptoki/probe.h"
#include "cryptoki/return_codes.h"
#include "ha/notes/on_member.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using notes::Change;
using notes::Name;
using notes::nameOf;
using notes::Note;
using notes::Subject;
using notes::Tombstone;

namespace {

constexpr OwnSession kOwn = &GroupMember::resync;
constexpr int kMostTries = 20;
// Of fewer objects copying is over before a thread is worth it.
constexpr std::size_t kMostOneByOne = 16;
constexpr std::size_t kMostAhead = 8;

std::string namesOf(const std::vector<CK_ATTRIBUTE_TYPE>& types) {
  std::string all;
  for (const CK_ATTRIBUTE_TYPE type : types) {
    all += all.empty() ? "" : ", ";
    all += cryptoki::attributeName(type);
  }
  return all;
}

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

// Does something in p11ha's own session on that member.
template <class Run>
Outcome Resync::onMember(View& view, unsigned member, Run&& run) {
  GroupMember& on = group_.member(member);
  ControlSession::Use session(on.*kOwn);
  const Outcome opened = session.open(*on.token, view.epochs.at(member));
  return opened.rv == CKR_OK ? run(on, session.handle()) : opened;
}

// Those that can be asked, of which is known what they hold now. What they held before is no ground to plan on: another
// process may have brought it about meanwhile.
MemberMask Resync::lookAgain(MemberMask members, GroupMember* returned, Outcome& ofReturned) {
  MemberMask here = 0;
  for (GroupMember& member : group_.each(members)) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    const Outcome seen = lookAgain(member, epoch);
    if (seen.rv == CKR_OK) here |= bit(member.index);
    if (&member == returned) {
      ofReturned = seen;
    } else if (isLoss(seen)) {
      group_.lose(member, epoch, Loss::Dropped, seen.rv);
    }
  }
  return here;
}

Outcome Resync::lookAgain(GroupMember& member, std::uint32_t epoch) {
  for (Repetition repetition(kMostTries);;) {
    const Outcome seen = catalog_.lookAgain(member, epoch, kOwn);
    ControlSession::Use session(member.*kOwn);
    if (session.open(*member.token, epoch).rv != CKR_OK) return seen;
    if (!repetition.isWorthIt(*member.token, session.handle(), seen.rv)) return seen;
  }
}

Resync::Result Resync::bringBack(GroupMember& member, std::uint32_t epoch) {
  if (!group_.policy().synchronize) return {};
  Outcome none;
  const MemberMask others = group_.well(group_.view().synced) & ~bit(member.index);
  return inTurn(lookAgain(others, nullptr, none) | bit(member.index), [&](MemberMask here) {
    View view = look(here, &member, epoch);
    // What it holds no call of the application is making just now: others that did not show it lack it (share()).
    for (std::size_t i = 0; i < view.objects.size(); ++i) {
      if (!view.state.objects[i].lasting || (view.state.objects[i].holders & bit(member.index)) == 0) continue;
      for (const GroupMember& other : group_.each(view.state.here & ~bit(member.index))) {
        const std::uint32_t under = view.epochs.at(other.index);
        if (view.objects[i]->holding(other.index, under) == Holding::Unknown)
          view.objects[i]->markAbsent(other.index, under);
      }
    }
    return view;
  });
}

Resync::Result Resync::catchUp(GroupMember& member, std::uint32_t epoch) {
  if (!group_.policy().synchronize) return {};
  Outcome seen;
  MemberMask here = group_.well(group_.view().synced) | bit(member.index);
  if (group_.notes.tellOfMissed()) here = lookAgain(here, &member, seen);
  if (seen.rv != CKR_OK) return {seen};
  return inTurn(here, [&](MemberMask there) { return look(there, &member, epoch); });
}

Resync::Result Resync::share(GroupMember& member, std::uint32_t epoch) {
  if (!group_.policy().synchronize) return {};
  return inTurn(group_.well(group_.view().synced) | bit(member.index), [&](MemberMask here) {
    View view = look(here, &member, epoch);
    for (std::size_t i = 0; i < view.objects.size(); ++i) {
      const bool isUnknown = view.objects[i]->holding(member.index, epoch) == Holding::Unknown;
      if (isUnknown) view.state.objects[i].unclear |= bit(member.index);
    }
    return view;
  });
}

void Resync::applyNotes() {
  if (!group_.policy().synchronize || !group_.notes.tellOfMissed()) return;
  Outcome none;
  inTurn(lookAgain(group_.well(group_.view().synced), nullptr, none),
         [&](MemberMask here) { return look(here, nullptr, 0); });
}

Resync::Result Resync::inTurn(MemberMask here, const std::function<View(MemberMask)>& looked) {
  View view = looked(here);
  if (!plan(view.state).empty()) {
    CK_OBJECT_HANDLE newest = 0;
    for (const ObjectPtr& object : view.objects) newest = std::max(newest, object->handle());
    base::Lock alone(turn_);
    Turns turns(group_, view.state.here, view.epochs, turnOwner_);
    Outcome seen;
    const std::set<std::string> known = noted();
    here = lookAgain(view.state.here, view.returned, seen);
    if (seen.rv != CKR_OK) return {seen};
    here &= turns.renew();
    view = looked(here);
    view.result.hadTurn = view.result.isWhole = (view.state.returned & ~here) == 0;
    setFresh(view, known);
    leaveOut(view, newest);
    run(view, turns);
  }
  // What goes beside the keys.
  if (!view.over() && view.returned != nullptr)
    view.result.outcome = records_.complete(*view.returned, view.epochs.at(view.returned->index));
  return view.result;
}

std::set<std::string> Resync::noted() const {
  std::set<std::string> all;
  for (const GroupMember& member : group_.each(group_.members.everyone())) {
    for (const notes::NoteTable::Held& held : group_.notes.on(member.index)) all.insert(bytesOf(held.note));
  }
  return all;
}

// What was noted while the members were looked at, one after another, may be about an object that one of them was not
// known to hold when it was looked at: a tombstone that is put beside that one would say that it was made anew.
void Resync::setFresh(View& view, const std::set<std::string>& known) {
  for (std::size_t i = 0; i < view.notes.size(); ++i) {
    SyncNote& note = view.state.notes[i];
    note.isFresh = !known.contains(bytesOf(view.notes[i]));
    // As long as the member does not serve, there may be another at every look.
    const bool isLeft = note.isFresh && (view.state.here & ~note.holders) != 0;
    if (isLeft && (group_.view().synced & view.state.returned) != 0) view.result.isWhole = false;
  }
}

// What was first seen between the two looks, a call may be making on one member after the other at this moment, in
// whichever process: it is left to the next run.
void Resync::leaveOut(View& view, CK_OBJECT_HANDLE newest) {
  for (std::size_t i = 0; i < view.objects.size(); ++i) {
    if (view.objects[i]->handle() <= newest) continue;
    SyncObject& seen = view.state.objects[i];
    view.result.isWhole = view.result.isWhole && (!seen.alive || (view.state.here & ~seen.holders) == 0);
    seen.unclear |= view.state.here & ~seen.holders;
  }
}

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
    for (const GroupMember& member : group_.each(view.state.here & ~seen.holders)) {
      const Holding holding = object->holding(member.index, view.epochs.at(member.index));
      if (holding == Holding::Claimed || holding == Holding::Ambiguous) seen.unclear |= bit(member.index);
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
      catalog_.beforeHandingOut(view.objects[index]);
      Subject subject = notes::subjectOf(view.objects[index]->identity());
      subject.witness = view.objects[index]->witness();
      const Proof proof = catalog_.proveAbout(subject, view.objects[i], view.state.here, kOwn);
      if (proof == Proof::Same) {
        join(view, i, index);
        break;
      }
      if (proof != Proof::Different) doubtful.isDisputed = true;
    }
    if (doubtful.alive && !doubtful.isDisputed) view.objects[i]->setDoubtful(false);
  }
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
      if (among.empty() && readAgain.emplace(about.objectClass, about.type).second) {
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

void Resync::run(View& view, Turns& turns) {
  const std::vector<SyncAction> actions = plan(view.state);
  const std::vector<bool> dead = condemned(view.state);
  // The application's handles end first, as when it destroys an object itself.
  for (std::size_t i = 0; i < dead.size(); ++i) {
    if (dead[i]) group_.objects.remove(view.objects[i]);
  }
  std::unique_ptr<Parcels> parcels;
  std::size_t copies = 0;
  for (const SyncAction& action : actions) {
    if (view.over()) return;
    view.state.here &= turns.renew();
    const bool isHere = (view.state.here & bit(action.member)) != 0;
    if (!isHere) view.result.isWhole = false;
    if (action.what != SyncAction::What::Copy) {
      if (isHere) act(view, action);
      continue;
    }
    // What changes on the source comes before all copies.
    if (copies == 0) parcels = takeAhead(view, actions);
    const std::size_t index = copies++;
    if (isHere) copy(view, action, parcels == nullptr ? std::nullopt : parcels->take(index));
  }
}

// A source gives the next objects while the target takes the present one.
std::unique_ptr<Resync::Parcels> Resync::takeAhead(const View& view, const std::vector<SyncAction>& actions) {
  struct Copy {
    ObjectPtr object;
    unsigned source;
    std::uint32_t epoch;
    unsigned target;
  };
  std::vector<Copy> copies;
  for (const SyncAction& action : actions) {
    if (action.what == SyncAction::What::Copy)
      copies.push_back({view.objects[action.object], action.source, view.epochs.at(action.source), action.member});
  }
  const std::size_t count = copies.size();
  if (count <= kMostOneByOne) return nullptr;
  const auto take = [this, copies = std::move(copies)](std::size_t index) -> std::optional<Cloner::Parcel> {
    const Copy& copy = copies[index];
    GroupMember& source = group_.member(copy.source);
    const CK_OBJECT_HANDLE at = copy.object->at(copy.source, copy.epoch);
    if (!copy.object->alive() || copy.object->isSessionObject() || at == CK_INVALID_HANDLE) return std::nullopt;
    records_.adopt(copy.object, source, copy.epoch);
    return cloner_.take(source, copy.epoch, at, copy.target, kOwn);
  };
  return std::make_unique<Parcels>(count, kMostAhead, take);
}

void Resync::act(View& view, const SyncAction& action) {
  switch (action.what) {
    case SyncAction::What::Destroy:
      return destroy(view, action);
    case SyncAction::What::Change:
      return change(view, action);
    case SyncAction::What::Copy:
      return copy(view, action, std::nullopt);
    case SyncAction::What::WriteNote:
      return writeNote(view, action);
    case SyncAction::What::RemoveNote:
      return removeNote(view, action);
  }
}

void Resync::lost(View& view, GroupMember& member, const Outcome& outcome) {
  view.state.here &= ~bit(member.index);
  if (&member == view.returned) {
    view.result.outcome = outcome;
  } else {
    group_.lose(member, view.epochs.at(member.index), Loss::Dropped, outcome.rv);
  }
}

// One that answers like a broken one is asked how it is.
bool Resync::isWell(View& view, GroupMember& member, const Outcome& outcome) {
  if (cryptoki::classify(outcome.rv) != cryptoki::RvClass::Ask) return true;
  bool alive = false;
  onMember(view, member.index, [&](GroupMember& on, CK_SESSION_HANDLE session) {
    alive = cryptoki::probe(*on.token, session).alive;
    return Outcome{};
  });
  return alive;
}

// Of a member that was told to follow.
void Resync::answered(View& view, GroupMember& member, std::size_t object, const Outcome& outcome) {
  if (outcome.rv == CKR_OK) return;
  view.failed.emplace(object, member.index);
  if (isLoss(outcome) || !isWell(view, member, outcome)) return lost(view, member, outcome);
  group_.log(halog::UnsyncedObject{
      describe(view.objects[object]->identity()), member.serial, {outcome.rv, cryptoki::returnCodeName(outcome.rv)}});
}

void Resync::destroy(View& view, const SyncAction& action) {
  const ObjectPtr& object = view.objects[action.object];
  const CK_OBJECT_HANDLE at = object->at(action.member, view.epochs.at(action.member));
  Outcome outcome = onMember(view, action.member, [&](GroupMember& on, CK_SESSION_HANDLE session) {
    return on.token->execute(makeCall<Fn::DestroyObject>(session, at));
  });
  GroupMember& member = group_.member(action.member);
  // Another process may have been first.
  if (outcome.rv == CKR_OBJECT_HANDLE_INVALID) outcome = {};
  if (outcome.rv == CKR_OK) {
    object->markAbsent(action.member, view.epochs.at(action.member));
    if (object->mayBeGenerated()) records_.destroyed(object->identity());
    group_.log(halog::DestroyedApart{describe(object->identity()), member.serial});
  }
  answered(view, member, action.object, outcome);
}

void Resync::change(View& view, const SyncAction& action) {
  const ObjectPtr& object = view.objects[action.object];
  cryptoki::Template values;
  const Outcome read = onMember(view, action.source, [&](GroupMember& on, CK_SESSION_HANDLE session) {
    const CK_OBJECT_HANDLE at = object->at(action.source, view.epochs.at(action.source));
    return cryptoki::readAttributes(*on.token, session, at, action.types, values);
  });
  if (isLoss(read)) lost(view, group_.member(action.source), read);
  if (read.rv != CKR_OK) return static_cast<void>(view.failed.emplace(action.object, action.member));
  GroupMember& member = group_.member(action.member);
  const Outcome outcome = onMember(view, action.member, [&](GroupMember& on, CK_SESSION_HANDLE session) {
    const CK_OBJECT_HANDLE at = object->at(action.member, view.epochs.at(action.member));
    return on.token->execute(makeCall<Fn::SetAttributeValue>(session, at, values.data(), values.count()));
  });
  if (outcome.rv == CKR_OK && !action.lost.empty())
    group_.log(halog::ChangeGaveWay{describe(object->identity()), namesOf(action.lost), member.serial});
  answered(view, member, action.object, outcome);
}

void Resync::copy(View& view, const SyncAction& action, std::optional<Cloner::Parcel> parcel) {
  const ObjectPtr& object = view.objects[action.object];
  GroupMember& target = group_.member(action.member);
  const std::uint32_t epoch = view.epochs.at(action.member);
  const std::pair claim{object->handle(), action.member};
  {
    base::Lock lock(claimsMutex_);
    if (!claims_.insert(claim).second) return;
  }
  if (object->alive() && !object->isUnderWay() && object->at(action.member, epoch) == CK_INVALID_HANDLE &&
      !isThere(view, action)) {
    const Copied copied = copyFromAny(view, object, target, action.source, std::move(parcel));
    switch (copied.result) {
      case Copied::Result::Done:
        if (!catalog_.madeAlso(object, target, epoch, copied.handle)) {
          // Destroyed while it was being copied.
          onMember(view, action.member, [&](GroupMember& on, CK_SESSION_HANDLE session) {
            return on.token->execute(makeCall<Fn::DestroyObject>(session, copied.handle));
          });
        } else if (!object->isSessionObject() && &target == view.returned) {
          ++view.result.tokenObjects;
        }
        break;
      case Copied::Result::TargetLost:
        lost(view, target, copied.outcome);
        break;
      case Copied::Result::Refused:
        // That a key cannot be cloned was said when it was made; anything else is news.
        if (copied.outcome.rv != CKR_KEY_UNEXTRACTABLE && object->alive())
          answered(view, target, action.object, copied.outcome);
        break;
      case Copied::Result::SourceLost:
        break;
    }
  }
  base::Lock lock(claimsMutex_);
  claims_.erase(claim);
}

// Under a name that was not the object's when the members were looked at: a call may have been renaming it on one after
// the other. Then both bear one name by now.
bool Resync::isThere(View& view, const SyncAction& action) {
  if (!view.elsewhere) {
    view.elsewhere.emplace();
    for (std::size_t i = 0; i < view.objects.size(); ++i) {
      const SyncObject& seen = view.state.objects[i];
      if (seen.alive && seen.lasting && (view.state.returned & seen.holders) != 0 &&
          (view.state.here & ~seen.holders) != 0)
        view.elsewhere->push_back(i);
    }
  }
  const ObjectPtr& object = view.objects[action.object];
  const MemberMask holders = view.state.objects[action.object].holders;
  const auto looksSo = [&](const Identity& one, const Identity& other) {
    return one.objectClass == other.objectClass && one.type == other.type && one.material == other.material;
  };
  for (const std::size_t index : *view.elsewhere) {
    const SyncObject& other = view.state.objects[index];
    const bool isCandidate = index != action.object && other.alive && (other.holders & bit(action.member)) != 0 &&
                             (other.holders & holders) == 0 && view.objects[index]->alive();
    if (!isCandidate || !looksSo(view.objects[index]->identity(), object->identity())) continue;
    GroupMember& source = group_.member(action.source);
    GroupMember& target = group_.member(action.member);
    if (!catalog_.readAgain(object, source, kOwn) || !catalog_.readAgain(view.objects[index], target, kOwn)) continue;
    if (nameOf(object->identity()) != nameOf(view.objects[index]->identity())) continue;
    catalog_.beforeHandingOut(object);
    Subject subject = notes::subjectOf(object->identity());
    subject.witness = object->witness();
    const Proof proof = catalog_.proveAbout(subject, view.objects[index], view.state.here, kOwn);
    if (proof == Proof::Different) continue;
    view.result.isWhole = false;
    if (proof == Proof::Same) join(view, index, action.object);
    return true;
  }
  return false;
}

bool Resync::isWorthAnother(View& view, GroupMember& target, CK_RV rv) {
  bool isWorthIt = false;
  onMember(view, target.index, [&](GroupMember& on, CK_SESSION_HANDLE session) {
    isWorthIt = view.repetition.isWorthIt(*on.token, session, rv);
    return Outcome{};
  });
  return isWorthIt;
}

Copied Resync::copyFromAny(View& view, const ObjectPtr& object, GroupMember& target, unsigned preferred,
                           std::optional<Cloner::Parcel> parcel) {
  Copied copied;
  if (parcel) {
    copied = cloner_.put(*parcel, {target, view.epochs.at(target.index), true}, kOwn);
    if (copied.result != Copied::Result::Refused) return copied;
  }
  for (MemberMask tried = bit(target.index);;) {
    GroupMember& source = group_.member(preferred);
    const std::uint32_t sourceEpoch = view.epochs.at(preferred);
    records_.adopt(object, source, sourceEpoch);
    copied = cloner_.copy(source, sourceEpoch, object->at(preferred, sourceEpoch),
                          {target, view.epochs.at(target.index), !object->isSessionObject(), CK_INVALID_HANDLE}, kOwn);
    if (copied.result == Copied::Result::Refused && isWorthAnother(view, target, copied.outcome.rv)) continue;
    if (copied.result != Copied::Result::SourceLost) return copied;
    lost(view, source, copied.outcome);
    tried |= bit(preferred);
    const MemberMask left = certainHolders(view, *object) & ~tried;
    if (view.over() || left == 0) return copied;
    preferred = static_cast<unsigned>(std::countr_zero(left));
  }
}

void Resync::writeNote(View& view, const SyncAction& action) {
  const std::vector<std::size_t>& objects = view.state.notes[action.note].objects;
  const auto failed = [&](std::size_t object) { return view.failed.contains({object, action.member}); };
  if (std::any_of(objects.begin(), objects.end(), failed)) return;
  GroupMember& member = group_.member(action.member);
  const Outcome outcome = onMember(view, action.member, [&](GroupMember& on, CK_SESSION_HANDLE session) {
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    const Outcome written = notes::write(*on.token, session, view.notes[action.note], handle);
    if (written.rv == CKR_OK) group_.keepNote(on.index, handle, view.notes[action.note]);
    return written;
  });
  if (isLoss(outcome)) lost(view, member, outcome);
}

void Resync::removeNote(View& view, const SyncAction& action) {
  const std::vector<std::size_t>& objects = view.state.notes[action.note].objects;
  const auto failed = [&](const auto& each) {
    return std::find(objects.begin(), objects.end(), each.first) != objects.end();
  };
  // It has not been applied everywhere: then it stays.
  const bool allFollowed = std::none_of(view.failed.begin(), view.failed.end(), failed);
  if (view.keepsNotes || !allFollowed || (view.state.configured & ~view.state.here) != 0) return;
  GroupMember& member = group_.member(action.member);
  const auto [begin, end] = view.noteHandles[action.note].equal_range(action.member);
  for (auto each = begin; each != end; ++each) {
    const CK_OBJECT_HANDLE handle = each->second;
    const Outcome outcome = onMember(view, action.member, [&](GroupMember& on, CK_SESSION_HANDLE session) {
      return on.token->execute(makeCall<Fn::DestroyObject>(session, handle));
    });
    if (outcome.rv == CKR_OK || outcome.rv == CKR_OBJECT_HANDLE_INVALID) {
      group_.dropNote(action.member, handle);
    } else {
      // What cancels a tombstone must not go before it.
      view.keepsNotes = true;
    }
    if (isLoss(outcome)) return lost(view, member, outcome);
  }
}

}  // namespace p11ha::ha
