#include "ha/recovery.h"

#include <algorithm>

#include "ha/admission.h"
#include "ha/member_login.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

namespace {

constexpr int kMostRounds = 20;

}  // namespace

MemberEvent Recovery::attempt(GroupMember& member, std::uint32_t epoch) {
  base::Lock alone(member.attempting);
  // One that waited for another attempt may be late.
  if (member.epoch.load(std::memory_order_acquire) != epoch) return event::AttemptFailed{epoch, CKR_FUNCTION_CANCELED};
  if (const auto objection = admit(group_, member, epoch)) return *objection;
  if (const Outcome connected = connect(member, epoch); connected.rv != CKR_OK)
    return event::AttemptFailed{epoch, connected.rv};
  if (const Outcome loggedIn = follow(member, epoch); loggedIn.rv != CKR_OK) {
    switch (lossOfLogin(loggedIn)) {
      case Loss::Deactivated:
        return event::AttemptFailed{epoch, CKR_USER_NOT_LOGGED_IN, Cause::NotActivated};
      case Loss::LoginRefused:
        return event::AttemptFailed{epoch, loggedIn.rv, Cause::LoginRefused};
      default:
        return event::AttemptFailed{epoch, loggedIn.rv};
    }
  }
  const std::uint64_t login = member.loginGeneration.load(std::memory_order_acquire);
  rememberHeld(member);
  member.stockGeneration.store(group_.login.generation(), std::memory_order_release);
  if (const Outcome stock = catalog_.takeStock(member, epoch); stock.rv != CKR_OK)
    return event::AttemptFailed{epoch, stock.rv};
  if (const Outcome read = domainKeys_.read(member, epoch, &GroupMember::resync); isLoss(read))
    return event::AttemptFailed{epoch, read.rv};
  if (isInitialisedAnew(member, epoch, login))
    return event::AttemptFailed{epoch, CKR_TOKEN_NOT_RECOGNIZED, Cause::Replaced};
  return giveWhatItLacks(member, epoch);
}

// What is made while it is given its copies is given to it before it serves: the application may end once it does.
// Applications that make things as fast as they can be copied would keep it away for good, did their calls not reach it
// from the first copies on.
MemberEvent Recovery::giveWhatItLacks(GroupMember& member, std::uint32_t epoch) {
  bool received = false;
  const auto failed = [&](CK_RV rv) {
    group_.stopReceiving(member);
    return event::AttemptFailed{epoch, rv, Cause::None, {}, received};
  };
  std::uint64_t tokenObjects = 0;
  Resync::Result result;
  for (int round = 0; round < kMostRounds; ++round) {
    result = resync_.bringBack(member, epoch);
    if (result.outcome.rv != CKR_OK) return failed(result.outcome.rv);
    tokenObjects += result.tokenObjects;
    if (received && !group_.isReceiving(member)) return failed(CKR_DEVICE_ERROR);
    if (result.tokenObjects == 0 && result.isWhole) break;
    if (!received && result.hadTurn) {
      group_.receive(member);
      received = true;
    }
  }
  if (!result.hadTurn) return failed(CKR_FUNCTION_FAILED);
  member.heldBefore.clear();
  member.isNew.store(false);
  return event::AttemptSucceeded{epoch, tokenObjects, received};
}

void Recovery::settle(GroupMember& member, std::uint32_t epoch) {
  if (const Outcome followed = follow(member, epoch); followed.rv != CKR_OK)
    return group_.lose(member, epoch, lossOfLogin(followed), followed.rv);
  // Somebody has logged in since the attempt looked: what was hidden then must not be taken for missing.
  const std::uint64_t generation = group_.login.generation();
  if (member.stockGeneration.exchange(generation, std::memory_order_acq_rel) != generation) {
    catalog_.refresh(bit(member.index), &GroupMember::resync);
    domainKeys_.refresh(bit(member.index), &GroupMember::resync);
  }
  settleAlone(member, epoch);
  // Made while they were away, on a member that was lost before they had it.
  for (GroupMember& other : group_.each(group_.view().synced & ~bit(member.index))) share(other);
  records_.sweep();
}

void Recovery::settleAlone(GroupMember& member, std::uint32_t epoch) {
  base::Lock alone(member.attempting);
  untilWhole(member, epoch, [&]() P11HA_REQUIRES(member.attempting) { return resync_.catchUp(member, epoch); });
}

void Recovery::share(GroupMember& member) {
  base::Lock alone(member.attempting);
  const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
  const std::vector<ObjectPtr> objects = group_.objects.all();
  const bool lacksAny = std::any_of(objects.begin(), objects.end(), [&](const ObjectPtr& object) {
    return object->holding(member.index, epoch) == Holding::Absent &&
           certainHolders(*object, group_.callable() & ~bit(member.index)) != 0;
  });
  if (!lacksAny || (group_.view().synced & bit(member.index)) == 0) return;
  // Another process may have given it to the member meanwhile.
  catalog_.refresh(bit(member.index), &GroupMember::resync);
  untilWhole(member, epoch, [&]() P11HA_REQUIRES(member.attempting) { return resync_.share(member, epoch); });
}

// What a run has left to the next.
void Recovery::untilWhole(GroupMember& member, std::uint32_t epoch, const std::function<Resync::Result()>& run) {
  for (int round = 0; round < kMostRounds; ++round) {
    const Resync::Result result = run();
    if (isLoss(result.outcome)) group_.lose(member, epoch, Loss::Dropped, result.outcome.rv);
    if (isLoss(result.outcome) || (result.outcome.rv == CKR_OK && result.isWhole)) return;
  }
}

// A session of ours on the member; the sessions of its earlier life are closed, which it may refuse.
Outcome Recovery::connect(GroupMember& member, std::uint32_t epoch) {
  member.closeSessions();
  ControlSession::Use control(member.control);
  return control.open(*member.token, epoch);
}

Outcome Recovery::follow(GroupMember& member, std::uint32_t epoch) {
  // Until the member has seen the newest login or logout: they may come one after another.
  while (member.loginGeneration.load(std::memory_order_acquire) != group_.login.generation() ||
         group_.login.user() != LoginState::kNobody) {
    const std::uint64_t generation = group_.login.generation();
    ControlSession::Use resync(member.resync);
    if (const Outcome opened = resync.open(*member.token, epoch); opened.rv != CKR_OK) return opened;
    if (const Outcome followed = logIn(group_, member, resync.handle()); followed.rv != CKR_OK) return followed;
    if (group_.login.generation() == generation) break;
  }
  return {};
}

// Before its inventory is read anew. Once in an outage: what an attempt read is forgotten by the next.
void Recovery::rememberHeld(GroupMember& member) {
  if (member.isNew) member.heldBefore.clear();
  if (member.isNew || !member.heldBefore.empty()) return;
  for (ObjectPtr& object : group_.objects.all()) {
    if (!object->isSessionObject() && (object->usable() & bit(member.index)) != 0)
      member.heldBefore.push_back(std::move(object));
  }
}

// The same serial number, but of all that it held and that others hold still there is nothing. To be told only where
// the user's login, under which the inventory was read, shows everything. A member that lost some of it is made whole.
bool Recovery::isInitialisedAnew(GroupMember& member, std::uint32_t epoch, std::uint64_t login) {
  if (!group_.policy().synchronize || group_.login.user() != CKU_USER || group_.login.generation() != login)
    return false;
  // A few objects may all have been destroyed or made anew by another process; what is p11ha's own goes with the token.
  if (bearsWhatIsOurs(member)) return false;
  bool lacksAny = false;
  for (const ObjectPtr& object : member.heldBefore) {
    if (!object->alive() || certainHolders(*object, group_.callable() & ~bit(member.index)) == 0) continue;
    if (object->holding(member.index, epoch) != Holding::Absent) return false;
    lacksAny = true;
  }
  if (!lacksAny) return false;
  // What it was not known to hold, but does, is its own as well; and so is what others have changed meanwhile.
  const std::vector<ObjectPtr> all = group_.objects.all();
  return std::none_of(all.begin(), all.end(), [&](const ObjectPtr& object) {
    return object->alive() && !object->isSessionObject() && object->holding(member.index, epoch) != Holding::Absent &&
           ((object->usable() & ~bit(member.index)) != 0 || wasChanged(object->identity()));
  });
}

// A note of this group, or a domain key that another member holds, too.
bool Recovery::bearsWhatIsOurs(const GroupMember& member) {
  for (const notes::NoteTable::Held& held : group_.notes.on(member.index)) {
    if (held.note.group == group_.policy().serial) return true;
  }
  const auto own = domainKeys_.of(member.index)->generations();
  for (const GroupMember& other : group_.each(group_.callable() & ~bit(member.index))) {
    for (const domain::Generation& theirs : domainKeys_.of(other.index)->generations()) {
      if (std::find(own.begin(), own.end(), theirs) != own.end()) return true;
    }
  }
  return false;
}

// Does a change record tell of an object that was so?
bool Recovery::wasChanged(const Identity& former) {
  for (const GroupMember& member : group_.each(group_.callable())) {
    for (const notes::NoteTable::Held& held : group_.notes.on(member.index)) {
      const auto* const change = std::get_if<notes::Change>(&held.note.says);
      if (change != nullptr && notes::compare(change->before, former) != notes::Likeness::Other) return true;
    }
  }
  return false;
}

MemberMask Recovery::certainHolders(const Object& object, MemberMask among) {
  MemberMask holders = 0;
  for (GroupMember& member : group_.each(among & object.usable())) {
    if (object.holding(member.index, member.epoch.load(std::memory_order_acquire)) == Holding::Held)
      holders |= bit(member.index);
  }
  return holders;
}

}  // namespace p11ha::ha
