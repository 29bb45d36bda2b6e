#include "ha/resync.h"

#include <algorithm>
#include <utility>

namespace p11ha::ha {

using cryptoki::Outcome;
using notes::Name;
using notes::nameOf;

namespace {

constexpr int kMostLooks = 20;
// Of fewer objects copying is over before a thread is worth it.
constexpr std::size_t kMostOneByOne = 16;
constexpr std::size_t kMostAhead = 8;

}  // namespace

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
  for (Repetition repetition(kMostLooks);;) {
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
  if (group_.waitingEnded()) return {{CKR_FUNCTION_CANCELED}};
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
    if (group_.waitingEnded()) view.result.outcome = {CKR_FUNCTION_CANCELED};
    if (view.over()) return;
    view.state.here &= turns.renew();
    const bool isHere = (view.state.here & bit(action.member)) != 0;
    if (!isHere) view.result.isWhole = false;
    if (action.what != SyncAction::What::Copy) {
      if (isHere) act(view, action);
      continue;
    }
    // What changes on the source comes before all copies. A member that calls reach may miss a change of what was
    // taken.
    const bool isReached = (group_.receivers() & view.state.returned) != 0;
    if (copies == 0 && !isReached) parcels = takeAhead(view, actions);
    const std::size_t index = copies++;
    if (isHere) copy(view, action, parcels == nullptr ? std::nullopt : parcels->take(index));
  }
  if (!view.over() && !view.copied.empty()) takeBack(view);
}

// Copies of what was destroyed while it was copied: whoever destroys an object looks for copies once that is noted, as
// this looks for notes once there are copies.
void Resync::takeBack(View& view) {
  Outcome ofReturned;
  const MemberMask seen = lookAgain(view.state.here, view.returned, ofReturned);
  if (ofReturned.rv != CKR_OK) return static_cast<void>(view.result.outcome = ofReturned);
  view.state.here &= seen;
  std::multimap<Name, notes::Note> ended;
  for (notes::Note& note : newTombstones(view)) {
    const Name name = nameOf(note.about());
    ended.emplace(name, std::move(note));
  }
  for (const auto& [index, target] : view.copied) {
    const ObjectPtr& object = view.objects[index];
    const auto [begin, end] = ended.equal_range(nameOf(object->identity()));
    const bool isNoted = std::any_of(begin, end, [&](const auto& each) {
      return catalog_.proveAbout(each.second.about(), object, seen, kOwn) == Proof::Same;
    });
    // Where all that held it can be asked, and none does any more, nobody needs to tell.
    const MemberMask before = view.state.objects[index].holders;
    const bool isGone = (before & ~seen) == 0 && (certainHolders(view, *object) & before) == 0;
    if (!isNoted && !isGone) continue;
    view.result.isWhole = false;
    if ((seen & bit(target)) != 0) destroy(view, {SyncAction::What::Destroy, target, index, 0, 0, {}, {}});
  }
  giveWay(view, seen);
}

// A call that makes an object on one member after another may have come to the target meanwhile: it, too, looks whether
// it was first (KeyManagement::madeAlso), and it is the copy that goes.
void Resync::giveWay(View& view, MemberMask seen) {
  CK_OBJECT_HANDLE newest = 0;
  for (const ObjectPtr& object : view.objects) newest = std::max(newest, object->handle());
  std::vector<ObjectPtr> fresh = group_.objects.all();
  std::erase_if(fresh,
                [&](const ObjectPtr& object) { return object->handle() <= newest || object->isSessionObject(); });
  for (const auto& [index, target] : view.copied) {
    const ObjectPtr& object = view.objects[index];
    const std::uint32_t epoch = view.epochs.at(target);
    for (const ObjectPtr& other : fresh) {
      const CK_OBJECT_HANDLE own = object->at(target, epoch);
      const CK_OBJECT_HANDLE theirs = other->at(target, epoch);
      if ((seen & bit(target)) == 0 || own == CK_INVALID_HANDLE || theirs == CK_INVALID_HANDLE || !other->alive() ||
          nameOf(other->identity()) != nameOf(object->identity()) ||
          catalog_.proveAbout(catalog_.subjectOf(object), other, bit(target), kOwn) != Proof::Same)
        continue;
      destroyAt(view, target, own);
      catalog_.madeAlso(object, group_.member(target), epoch, theirs);
    }
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
    if (source.lostSince(copy.epoch)) return std::nullopt;
    if (!copy.object->alive() || copy.object->isSessionObject() || at == CK_INVALID_HANDLE) return std::nullopt;
    records_.adopt(copy.object, source, copy.epoch);
    return cloner_.take(source, copy.epoch, at, copy.target, kOwn);
  };
  return std::make_unique<Parcels>(count, kMostAhead, take);
}

}  // namespace p11ha::ha
