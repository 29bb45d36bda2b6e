#include "ha/recovery.h"

#include "ha/member_login.h"
#include "ha/sync_plan.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

MemberEvent Recovery::attempt(GroupMember& member, std::uint32_t epoch) {
  if (const CK_RV rv = member.token->attach(); rv != CKR_OK) {
    return event::AttemptFailed{epoch, rv, rv == CKR_TOKEN_NOT_RECOGNIZED ? Cause::Replaced : Cause::None};
  }
  if (const Outcome connected = connect(member, epoch); connected.rv != CKR_OK)
    return event::AttemptFailed{epoch, connected.rv, {}};
  if (const Outcome loggedIn = follow(member, epoch); loggedIn.rv != CKR_OK) {
    return event::AttemptFailed{epoch, loggedIn.rv, refusesLogin(loggedIn) ? Cause::LoginRefused : Cause::None};
  }
  if (const Outcome stock = catalog_.takeStock(member, epoch); stock.rv != CKR_OK)
    return event::AttemptFailed{epoch, stock.rv, {}};
  const Copies copies = copyMissing(member, epoch);
  if (copies.outcome.rv != CKR_OK) return event::AttemptFailed{epoch, copies.outcome.rv, {}};
  return event::AttemptSucceeded{epoch, copies.tokenObjects};
}

void Recovery::settle(GroupMember& member, std::uint32_t epoch) {
  const Outcome followed = follow(member, epoch);
  if (isLoss(followed)) {
    group_.lose(member, epoch, Loss::Dropped, followed.rv);
  } else if (followed.rv != CKR_OK) {
    group_.lose(member, epoch, refusesLogin(followed) ? Loss::LoginRefused : Loss::Dropped, followed.rv);
  } else if (const Copies copies = copyMissing(member, epoch); isLoss(copies.outcome)) {
    group_.lose(member, epoch, Loss::Dropped, copies.outcome.rv);
  }
}

// A session of ours on the member; the sessions of its earlier life are closed, which it may refuse.
Outcome Recovery::connect(GroupMember& member, std::uint32_t epoch) {
  ControlSession::Use control(member.control);
  control.close(*member.token);
  for (const MemberSession& old : member.sessions.takeAll())
    member.token->execute(makeCall<Fn::CloseSession>(old.handle));
  return control.open(*member.token, epoch);
}

Outcome Recovery::follow(GroupMember& member, std::uint32_t epoch) {
  // Until the member has seen the newest login or logout: they may come one after another.
  while (member.loginGeneration.load(std::memory_order_acquire) != group_.login.generation() ||
         group_.login.user() != LoginState::kNobody) {
    const std::uint64_t generation = group_.login.generation();
    ControlSession::Use control(member.control);
    if (const Outcome opened = control.open(*member.token, epoch); opened.rv != CKR_OK) return opened;
    if (const Outcome followed = logIn(group_, member, control.handle()); followed.rv != CKR_OK) return followed;
    if (group_.login.generation() == generation) break;
  }
  return {};
}

MemberMask Recovery::certainHolders(const Object& object, MemberMask among) {
  MemberMask holders = 0;
  for (GroupMember& member : group_.each(among & object.usable())) {
    if (object.holding(member.index, member.epoch.load(std::memory_order_acquire)) == Holding::Held)
      holders |= bit(member.index);
  }
  return holders;
}

Recovery::Copies Recovery::copyMissing(GroupMember& member, std::uint32_t epoch) {
  Copies copies;
  if (!group_.policy.synchronize) return copies;
  const std::vector<ObjectPtr> objects = group_.objects.all();
  std::vector<SyncObject> known;
  known.reserve(objects.size());
  for (const ObjectPtr& object : objects) {
    const bool there = object->at(member.index, epoch) != CK_INVALID_HANDLE ||
                       object->holding(member.index, epoch) == Holding::Ambiguous;
    known.push_back({object->alive(), there, certainHolders(*object, group_.callable() & ~bit(member.index))});
  }
  for (const CopyAction& action : plan(known)) {
    const ObjectPtr& object = objects[action.object];
    const Copied copied = copyFromAny(object, member, epoch, action.source);
    switch (copied.result) {
      case Copied::Result::Done:
        if (!catalog_.madeAlso(object, member, epoch, copied.handle)) {
          // Destroyed while it was being copied.
          ControlSession::Use control(member.control);
          member.token->execute(makeCall<Fn::DestroyObject>(control.handle(), copied.handle));
        } else if (!object->isSessionObject()) {
          ++copies.tokenObjects;
        }
        break;
      case Copied::Result::TargetLost:
        copies.outcome = copied.outcome;
        return copies;
      case Copied::Result::Refused:
        // That a key cannot be cloned was said when it was made; anything else is news.
        if (copied.outcome.rv != CKR_KEY_UNEXTRACTABLE && object->alive()) {
          group_.log(halog::UnsyncedObject{describe(object->identity()),
                                           member.serial,
                                           {copied.outcome.rv, cryptoki::returnCodeName(copied.outcome.rv)}});
        }
        break;
      case Copied::Result::SourceLost:
        break;
    }
  }
  return copies;
}

Copied Recovery::copyFromAny(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch, unsigned preferred) {
  Copied copied;
  for (MemberMask tried = 0;;) {
    GroupMember& source = group_.member(preferred);
    const std::uint32_t sourceEpoch = source.epoch.load(std::memory_order_acquire);
    copied = cloner_.copy(source, sourceEpoch, object->at(preferred, sourceEpoch),
                          {member, epoch, !object->isSessionObject(), CK_INVALID_HANDLE});
    if (copied.result != Copied::Result::SourceLost) return copied;
    group_.lose(source, sourceEpoch, Loss::Dropped, copied.outcome.rv);
    tried |= bit(preferred);
    const MemberMask left = certainHolders(*object, group_.callable() & ~bit(member.index) & ~tried);
    if (left == 0) return copied;
    preferred = static_cast<unsigned>(std::countr_zero(left));
  }
}

}  // namespace p11ha::ha
