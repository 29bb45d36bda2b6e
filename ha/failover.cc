#include "ha/failover.h"

#include <algorithm>
#include <utility>

#include "ha/mechanism_handles.h"
#include "ha/member_login.h"
#include "ha/tries.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Function;
using cryptoki::Op;
using cryptoki::Outcome;
using cryptoki::RoleKind;
using cryptoki::Spread;

CK_RV Failover::run(Session& session, Request& request, const Try& first) {
  request.room.emplace(request.call, first.room);
  // What else the request holds has to be prepared.
  const bool plain = request.output == nullptr && request.mechanism == nullptr && request.operations[1] == nullptr;
  Try made = first;
  if (made.member == nullptr && plain) {
    const MemberMask preferred = request.operations[0] != nullptr || request.preferred == Request::kAnyMember
                                     ? kAnywhere
                                     : bit(request.preferred);
    made = straight(session, request.call, request.objects, request.only & preferred, request.operations[0]);
  }
  if (!made.succeeded()) return persist(session, request, made);
  request.answeredBy = made.member->index;
  request.answeredUnder = made.epoch;
  return CKR_OK;
}

CK_RV Failover::persist(Session& session, Request& request, const Try& first) {
  const cryptoki::SameCall time(first.made());
  Tries tries{cryptoki::function(request.call.fn), time};
  const CK_RV rv = tryAll(session, request, tries, first);
  if (rv == CKR_OK) loseSuspects(session, tries);
  // As the last word it tells nothing: not what the members hold of the operation either.
  if (cryptoki::classify(rv) == cryptoki::RvClass::Suspect) acquitSuspects(session, request, tries);
  return rv;
}

// As often as it takes, beginning with what the first try met.
CK_RV Failover::tryAll(Session& session, Request& request, Tries& tries, Try first) {
  for (;;) {
    GroupMember* const member = first.member != nullptr ? first.member : choose(session, request, tries);
    if (member == nullptr) {
      if (loseDead(session, tries) || awaitMember(request, tries)) continue;
      return exhausted(request, tries);
    }
    tries.absent = tries.diverged = false;
    tries.reached = first.made();
    tries.epoch = first.made() ? first.epoch : member->epoch.load(std::memory_order_acquire);
    const Outcome outcome = first.made() ? first.outcome : tryOn(*member, session, request, tries);
    first = {};
    request.answeredBy = member->index;
    request.answeredUnder = tries.epoch;
    if (outcome.rv == CKR_OK && tries.reached && !tries.diverged) return CKR_OK;

    Judgement judgement = judgeTry(*member, session, request, tries, outcome);
    if (judgement.loss != Loss::None) {
      discardSession(session, *member);
      group_.lose(*member, tries.epoch, judgement.loss, outcome.rv);
      if (outcome.fate == Fate::Unknown && tries.unknownLosses++ == 0) {
        tries.victim = member;
        tries.victimEpoch = tries.epoch;
      }
      if (judgement.loss == Loss::Deactivated && !group_.policy().failoverOnDeactivation) return outcome.rv;
    }
    switch (judgement.next) {
      case Next::Answer:
        if (cryptoki::classify(outcome.rv) == cryptoki::RvClass::Suspect)
          tries.suspects.push_back({member, tries.epoch, outcome.rv});
        return outcome.rv;
      case Next::Rebind:
        tries.rebound = true;
        discardSession(session, *member);
        request.preferred = member->index;
        break;
      case Next::Resolve:
        tries.resolved = true;
        tries.refusal = outcome.rv;  // the application's, if the object is nowhere
        for (const NamedObject& named : request.objects) {
          if (named) catalog_.resolveAgain(*named.object, *member, tries.epoch);
        }
        break;
      case Next::Login:
        tries.loggedInAgain = true;
        break;
      case Next::NextMember:
        if (outcome.fate == Fate::Unknown && isOverdue(request, tries)) {
          endOperations(request);
          return CKR_DEVICE_ERROR;
        }
        if (judgement.loss != Loss::None) member->failovers.fetch_add(1, std::memory_order_relaxed);
        tries.leave(*member);
        break;
      case Next::AskAnother:
        tries.leave(*member);
        tries.suspects.push_back({member, tries.epoch, outcome.rv});
        if (choose(session, request, tries) == nullptr) return outcome.rv;
        break;
      case Next::Poisoned:
        group_.poisoned(tries.row.name, *tries.victim, tries.victimEpoch, *member, tries.epoch);
        [[fallthrough]];
      case Next::OperationOver:
        endOperations(request);
        return CKR_DEVICE_ERROR;
      case Next::Probe:  // judgeTry has probed
        return outcome.rv;
    }
  }
}

// That a member does not hold an object may be because it is gone, or has logged us out: then standby members serve.
bool Failover::loseDead(Session& session, Tries& tries) {
  bool any = false;
  for (GroupMember& member : group_.each(std::exchange(tries.absentOn, 0))) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    CK_TOKEN_INFO info{};
    const CK_RV rv = cryptoki::readTokenInfo(*member.token, info).rv;
    if (rv != CKR_OK) group_.lose(member, epoch, Loss::Dropped, rv);
    any = rv != CKR_OK || noticeDeactivation(session, member, epoch) || any;
  }
  return any;
}

// CallDeadline is for all tries together.
bool Failover::isOverdue(const Request& request, const Tries& tries) const {
  return tries.time.lasts(group_.policy().deadlineOf(request.call.fn));
}

// True where another look for a member may find one.
bool Failover::awaitMember(const Request& request, Tries& tries) {
  const std::chrono::milliseconds patience = group_.policy().recoverWait;
  if (patience.count() == 0) return false;
  if (!tries.waitsUntil) {
    const auto left =
        std::min<base::Monotonic::duration>(patience, tries.time.left(group_.policy().deadlineOf(request.call.fn)));
    tries.waitsUntil = base::now() + left;
  }
  do {
    const base::Monotonic::duration left = *tries.waitsUntil - base::now();
    if (left.count() <= 0 || !group_.awaitMember(left)) return false;
    if (tries.lookAgain(group_)) return true;
    // Another call may have lost it again already.
  } while (group_.callable() == 0);
  return false;
}

void Failover::loseSuspects(Session& session, const Tries& tries) {
  for (const Tries::Suspect& suspect : tries.suspects) {
    discardSession(session, *suspect.member);
    suspect.member->failovers.fetch_add(1, std::memory_order_relaxed);
    group_.lose(*suspect.member, suspect.epoch, Loss::Dropped, suspect.rv);
  }
}

// Nobody convicts them. Neither a later part nor another Init must meet what they may have left of the operation; one
// that the call was no part of begins anew on the session that follows.
void Failover::acquitSuspects(Session& session, const Request& request, const Tries& tries) {
  using cryptoki::EffectKind;
  const EffectKind kind = tries.row.effect.kind;
  if (tries.suspects.empty() || (request.operations[0] == nullptr && kind != EffectKind::Begin)) return;
  if (kind != EffectKind::Begin && kind != EffectKind::None) endOperations(request);
  for (const Tries::Suspect& suspect : tries.suspects) {
    if (session.allRestorableOn(suspect.member->index)) abandonSession(session, *suspect.member);
  }
}

void Failover::endOperations(const Request& request) {
  for (Operation* operation : request.operations) {
    if (operation != nullptr) operation->end();
  }
}

// No member is left that could answer.
CK_RV Failover::exhausted(Request& request, const Tries& tries) const {
  request.answeredBy = Request::kAnyMember;
  bool fed = false;
  for (const Operation* operation : request.operations) fed = fed || (operation != nullptr && operation->fed());
  endOperations(request);
  // What the application began was taken once: that no other member takes it is not its mistake.
  if (tries.refusal != CKR_OK && !fed) return tries.refusal;
  for (const NamedObject& named : request.objects) {
    // Destroyed behind our back on every member: no outage.
    if (named && (*named.object)->usable() == 0) return CKR_OBJECT_HANDLE_INVALID;
  }
  return group_.noAnswer();
}

// Where is what the call needs, and of those members, which one has least to do?
GroupMember* Failover::choose(Session& session, const Request& request, const Tries& tries) const {
  const MemberMask among = request.only & ~tries.tried;
  // What was begun goes on there, though its member stands by meanwhile, and leaves nothing behind.
  if (GroupMember* const there = whereBegun(request, group_.well(group_.view().synced) & among)) return there;
  MemberMask candidates = group_.callable() & among;
  for (const NamedObject& named : request.objects) {
    if (!named) continue;
    const MemberMask holders = candidates & (*named.object)->usable();
    candidates = holders != 0 ? holders : candidates & ~(*named.object)->known();
  }
  if (candidates == 0) return nullptr;
  if (request.preferred != Request::kAnyMember && (candidates & bit(request.preferred)) != 0) {
    return &group_.member(request.preferred);
  }
  if (tries.row.spread == Spread::Primary || tries.row.spread == Spread::All || (candidates & (candidates - 1)) == 0) {
    return &group_.member(static_cast<unsigned>(std::countr_zero(candidates)));
  }

  return leastBusy(session, tries.row.effect.op, candidates);
}

// The first of them that has an operation which the call continues.
GroupMember* Failover::whereBegun(const Request& request, MemberMask among) const {
  for (const Operation* operation : request.operations) {
    if (operation == nullptr) break;
    GroupMember& member = group_.member(operation->member);
    if ((among & bit(member.index)) != 0 && operation->isOn(member.index, member.epoch.load(std::memory_order_relaxed)))
      return &member;
  }
  return nullptr;
}

// Fewest calls outstanding; among equals, each in turn. Each kind of operation has turns of its own: one that always
// follows another would always meet the same member.
GroupMember* Failover::leastBusy(Session& session, Op op, MemberMask candidates) const {
  std::uint8_t& ownTurn = session.turns[static_cast<std::size_t>(op)];
  const unsigned turn = ownTurn % kMaxMembers;
  const MemberMask later = candidates & ~(bit(turn) - 1);
  GroupMember* best = nullptr;
  long fewest = 0;
  for (MemberMask part : {later, candidates & ~later}) {
    for (; part != 0; part &= part - 1) {
      GroupMember& member = group_.member(static_cast<unsigned>(std::countr_zero(part)));
      const long outstanding = member.outstanding.load(std::memory_order_relaxed);
      if (best == nullptr || outstanding < fewest) {
        best = &member;
        fewest = outstanding;
      }
    }
  }
  // The next turn begins behind the one chosen, so that gaps in the mask give nobody a second turn.
  if (best != nullptr) ownTurn = static_cast<std::uint8_t>(best->index + 1);
  return best;
}

Outcome Failover::tryOn(GroupMember& member, Session& session, Request& request, Tries& tries) {
  request.room->restore();
  if (const Outcome opened = sessionOn(session, member, tries.epoch); opened.rv != CKR_OK) return opened;

  if (tries.loggedInAgain) {
    const Outcome loggedIn = logIn(group_, member, session.members[member.index].handle);
    if (loggedIn.rv != CKR_OK) return loggedIn;
  }
  for (Operation* operation : request.operations) {
    if (operation == nullptr) break;
    if (operation->isOn(member.index, tries.epoch)) continue;
    tries.diverged = !operation->restorable();
    if (tries.diverged) return {};
    const Outcome restored = restore(member, session, *operation, tries);
    if (restored.rv != CKR_OK || tries.absent || tries.diverged) return restored;
  }
  Call own = request.call;
  own.setSession(session.members[member.index].handle);
  for (const NamedObject& named : request.objects) {
    CK_OBJECT_HANDLE there = CK_INVALID_HANDLE;
    if (named) {
      there = catalog_.handleOn(*named.object, member, tries.epoch);
      if (there == CK_INVALID_HANDLE) {
        tries.absent = true;
        return {};
      }
      if (!(*named.object)->isTold()) catalog_.beforeHandingOut(*named.object);
    }
    own.set(named.word, there);
  }
  std::optional<cryptoki::OwnedMechanism> mechanism;
  if (request.mechanism != nullptr) {
    mechanism = translate(*request.mechanism, group_, catalog_, member, tries.epoch);
    if (!mechanism) {
      tries.absent = true;
      return {};
    }
    own.set(tries.row.find(RoleKind::Mechanism)->word, mechanism->get());
  }
  tries.reached = true;
  return request.output == nullptr ? execute(member, tries.epoch, session, own)
                                   : withOutput(member, session, own, *request.output, tries);
}

Judgement Failover::judgeTry(GroupMember& member, Session& session, const Request& request, Tries& tries,
                             const Outcome& outcome) {
  if (tries.absent) {
    tries.absentOn |= bit(member.index);
    return {Next::NextMember, Loss::None};
  }
  if (tries.diverged) {
    // The operation there is not the application's.
    if (tries.reached) abandonSession(session, member);
    return {Next::OperationOver, Loss::None};
  }
  Situation situation;
  situation.replay = request.replay.value_or(tries.row.replay);
  situation.outcome = outcome;
  for (const NamedObject& named : request.objects) situation.namesObject = situation.namesObject || named;
  for (const Operation* operation : request.operations) {
    if (operation == nullptr) break;
    situation.operationStuck = situation.operationStuck || !operation->restorable();
    situation.namesObject = situation.namesObject || operation->key != nullptr;
  }
  const std::uint64_t login = group_.login.generation();
  const bool userLoggedIn = group_.login.user() == CKU_USER;
  situation.loggedIn = userLoggedIn;
  situation.loginMissed = group_.login.user() != LoginState::kNobody && !tries.loggedInAgain &&
                          member.loginGeneration.load(std::memory_order_acquire) != login;
  situation.reboundBefore = tries.rebound;
  situation.resolvedBefore = tries.resolved;
  situation.unknownLosses = tries.unknownLosses;

  Judgement judgement = judge(situation);
  if (judgement.next == Next::Probe) {
    situation.health = cryptoki::probe(*member.token, session.members[member.index].handle);
    situation.lostMeanwhile = member.lostSince(tries.epoch);
    judgement = judge(situation);
  }
  // What precedes the call has no answer that the application could be given: where it is refused, another member is
  // asked.
  if (!tries.reached && judgement.next == Next::Answer) {
    tries.refusal = outcome.rv;
    judgement.next = Next::NextMember;
  }
  return judgement;
}

}  // namespace p11ha::ha
