#include "ha/resync.h"

#include <algorithm>
#include <bit>
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
using notes::nameOf;

namespace {

std::string namesOf(const std::vector<CK_ATTRIBUTE_TYPE>& types) {
  std::string all;
  for (const CK_ATTRIBUTE_TYPE type : types) {
    all += all.empty() ? "" : ", ";
    all += cryptoki::attributeName(type);
  }
  return all;
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

Outcome Resync::destroyAt(View& view, unsigned member, CK_OBJECT_HANDLE handle) {
  return onMember(view, member, [&](GroupMember& on, CK_SESSION_HANDLE session) {
    return on.token->execute(makeCall<Fn::DestroyObject>(session, handle));
  });
}

void Resync::destroy(View& view, const SyncAction& action) {
  const ObjectPtr& object = view.objects[action.object];
  const CK_OBJECT_HANDLE at = object->at(action.member, view.epochs.at(action.member));
  Outcome outcome = destroyAt(view, action.member, at);
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
  const auto readFromSource = [&](cryptoki::Template& values) {
    return onMember(view, action.source, [&](GroupMember& on, CK_SESSION_HANDLE session) {
      const CK_OBJECT_HANDLE at = object->at(action.source, view.epochs.at(action.source));
      return cryptoki::readAttributes(*on.token, session, at, action.types, values);
    });
  };
  GroupMember& member = group_.member(action.member);
  cryptoki::Template values;
  Outcome read = readFromSource(values);
  Outcome outcome = read;
  // A call may have changed it on both meanwhile: then the member has what is old by now.
  for (bool isLatest = false; read.rv == CKR_OK && !isLatest;) {
    outcome = onMember(view, action.member, [&](GroupMember& on, CK_SESSION_HANDLE session) {
      const CK_OBJECT_HANDLE at = object->at(action.member, view.epochs.at(action.member));
      return on.token->execute(makeCall<Fn::SetAttributeValue>(session, at, values.data(), values.count()));
    });
    cryptoki::Template after;
    if (outcome.rv == CKR_OK) read = readFromSource(after);
    isLatest = outcome.rv != CKR_OK || after == values;
    values = std::move(after);
  }
  if (isLoss(read)) lost(view, group_.member(action.source), read);
  if (read.rv != CKR_OK) return static_cast<void>(view.failed.emplace(action.object, action.member));
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
          destroyAt(view, action.member, copied.handle);
        } else if (!object->isSessionObject()) {
          view.copied.emplace_back(action.object, action.member);
          if (&target == view.returned) ++view.result.tokenObjects;
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
  if (!view.elsewhere) readElsewhere(view);
  if (view.elsewhere->empty()) return false;
  const ObjectPtr& object = view.objects[action.object];
  if (!catalog_.readAgain(object, group_.member(action.source), kOwn)) return false;
  const MemberMask holders = view.state.objects[action.object].holders;
  for (auto [at, end] = view.elsewhere->equal_range(nameOf(object->identity())); at != end; ++at) {
    const SyncObject& other = view.state.objects[at->second];
    if (at->second == action.object || !other.alive || (other.holders & bit(action.member)) == 0 ||
        (other.holders & holders) != 0)
      continue;
    switch (proveSame(view, action.object, at->second)) {
      case Proof::Different:
        continue;
      case Proof::Same:
        join(view, at->second, action.object);
        return true;
      case Proof::Impossible:
        group_.log(halog::AmbiguousObject{describe(object->identity()), group_.member(action.member).serial});
        return true;
      case Proof::Unreachable:
        view.result.isWhole = false;
        return true;
    }
  }
  return false;
}

// What one that returned holds and another lacks, as it is called by now.
void Resync::readElsewhere(View& view) {
  view.elsewhere.emplace();
  for (std::size_t i = 0; i < view.objects.size(); ++i) {
    const SyncObject& seen = view.state.objects[i];
    const MemberMask there = view.state.returned & seen.holders;
    if (!seen.alive || !seen.lasting || there == 0 || (view.state.here & ~seen.holders) == 0) continue;
    for (GroupMember& holder : group_.each(there)) catalog_.readAgain(view.objects[i], holder, kOwn);
    view.elsewhere->emplace(nameOf(view.objects[i]->identity()), i);
  }
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
    const Outcome outcome = destroyAt(view, action.member, handle);
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
