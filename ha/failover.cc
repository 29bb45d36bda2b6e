#include "ha/failover.h"

#include "ha/mechanism_handles.h"
#include "ha/member_login.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Replay;
using cryptoki::Spread;

// What was done about one request so far.
struct Failover::Tries {
  const cryptoki::Function& row;
  MemberMask tried = 0;     // members not to be asked (again)
  std::uint32_t epoch = 0;  // of the member being tried
  bool reached = false;     // the call itself was made, not only what has to precede it
  bool absent = false;      // the member does not hold an object of the call
  bool rebound = false;
  bool resolved = false;
  bool loggedInAgain = false;
  unsigned unknownLosses = 0;
  CK_RV refusal = CKR_OK;  // why a member could not even be asked
};

CK_RV Failover::run(Session& session, Request& request) {
  Tries tries{cryptoki::function(request.call.fn)};
  while (GroupMember* member = choose(session, request, tries)) {
    tries.epoch = member->epoch.load(std::memory_order_acquire);
    tries.reached = tries.absent = false;
    const Outcome outcome = tryOn(*member, session, request, tries);
    request.answeredBy = member->index;
    request.answeredUnder = tries.epoch;
    if (outcome.rv == CKR_OK && tries.reached) [[likely]]
      return CKR_OK;

    Judgement judgement = judgeTry(*member, session, request, tries, outcome);
    if (judgement.loss != Loss::None) {
      discardSession(session, *member);
      group_.lose(*member, tries.epoch, judgement.loss, outcome.rv);
      if (outcome.fate == Fate::Unknown) ++tries.unknownLosses;
      if (judgement.loss == Loss::Deactivated && !group_.policy.failoverOnDeactivation) return outcome.rv;
    }
    switch (judgement.next) {
      case Next::Answer:
        return outcome.rv;
      case Next::Rebind:
        tries.rebound = true;
        discardSession(session, *member);
        break;
      case Next::Resolve:
        tries.resolved = true;
        tries.refusal = outcome.rv;  // the application's, if the object is nowhere
        for (const NamedObject& named : request.objects) {
          if (named.object) catalog_.resolveAgain(named.object, *member, tries.epoch);
        }
        break;
      case Next::Login:
        tries.loggedInAgain = true;
        break;
      case Next::NextMember:
        tries.tried |= bit(member->index);
        tries.rebound = tries.resolved = tries.loggedInAgain = false;
        break;
      case Next::OperationOver:
      case Next::Poisoned:
        if (request.operation != nullptr) request.operation->end();
        return CKR_DEVICE_ERROR;
      case Next::Probe:  // judgeTry has probed
        return outcome.rv;
    }
  }
  request.answeredBy = Request::kAnyMember;
  if (request.operation != nullptr) request.operation->end();
  if (tries.refusal != CKR_OK) return tries.refusal;
  for (const NamedObject& named : request.objects) {
    // Destroyed behind our back on every member: no outage.
    if (named.object != nullptr && named.object->usable() == 0) return CKR_OBJECT_HANDLE_INVALID;
  }
  return CKR_DEVICE_ERROR;
}

// Where is what the call needs, and of those members, which one has least to do?
GroupMember* Failover::choose(Session& session, const Request& request, const Tries& tries) const {
  MemberMask candidates = group_.callable() & ~tries.tried;
  for (const NamedObject& named : request.objects) {
    if (named.object == nullptr) continue;
    const MemberMask holders = candidates & named.object->usable();
    candidates = holders != 0 ? holders : candidates & ~named.object->known();
  }
  if (candidates == 0) return nullptr;

  const Operation* operation = request.operation;
  if (operation != nullptr && operation->active && (candidates & bit(operation->member)) != 0 &&
      group_.member(operation->member).epoch.load(std::memory_order_relaxed) == operation->epoch) {
    return &group_.member(operation->member);
  }
  if (request.preferred != Request::kAnyMember && (candidates & bit(request.preferred)) != 0) {
    return &group_.member(request.preferred);
  }
  if (tries.row.spread == Spread::Primary || tries.row.spread == Spread::All || std::has_single_bit(candidates)) {
    return &group_.member(static_cast<unsigned>(std::countr_zero(candidates)));
  }

  // Fewest calls outstanding; among equals, each in turn.
  const unsigned turn = session.turn++ % kMaxMembers;
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
  session.turn = best->index + 1;
  return best;
}

Outcome Failover::tryOn(GroupMember& member, Session& session, Request& request, Tries& tries) {
  if (const Outcome opened = sessionOn(session, member, tries.epoch); opened.rv != CKR_OK) return opened;
  const CK_SESSION_HANDLE handle = session.members[member.index].handle;

  if (tries.loggedInAgain) {
    const Outcome loggedIn = logIn(group_, member, handle);
    if (loggedIn.rv != CKR_OK) return loggedIn;
  }
  Operation* operation = request.operation;
  if (operation != nullptr && operation->active &&
      (operation->member != member.index || operation->epoch != tries.epoch || tries.rebound)) {
    if (const Outcome begun = beginAgain(member, session, request, tries); begun.rv != CKR_OK || tries.absent)
      return begun;
  }
  Call own = request.call;
  own.setSession(handle);
  for (const NamedObject& named : request.objects) {
    CK_OBJECT_HANDLE there = CK_INVALID_HANDLE;
    if (named.object != nullptr) {
      there = catalog_.handleOn(named.object, member, tries.epoch);
      if (there == CK_INVALID_HANDLE) {
        tries.absent = true;
        return {};
      }
    }
    own.set(named.word, there);
  }
  std::optional<cryptoki::OwnedMechanism> mechanism;
  if (request.mechanism != nullptr) {
    mechanism = translate(*request.mechanism, group_, catalog_, member, tries.epoch);
    tries.absent = !mechanism;
    if (tries.absent) return {};
    own.set(tries.row.find(cryptoki::RoleKind::Mechanism)->word, mechanism->get());
  }
  tries.reached = true;
  return execute(member, tries.epoch, session, own);
}

Outcome Failover::beginAgain(GroupMember& member, Session& session, Request& request, Tries& tries) {
  Operation& operation = *request.operation;
  const CK_SESSION_HANDLE handle = session.members[member.index].handle;
  auto sent = translate(operation.mechanism, group_, catalog_, member, tries.epoch);
  tries.absent = !sent;
  if (tries.absent) return {};
  Call init{operation.init, {handle, reinterpret_cast<std::uintptr_t>(sent->get())}};
  if (operation.key != nullptr) {
    const CK_OBJECT_HANDLE key = catalog_.handleOn(operation.key, member, tries.epoch);
    if (key == CK_INVALID_HANDLE) {
      tries.absent = true;
      return {};
    }
    init.set(2, key);
  }
  const Outcome begun = execute(member, tries.epoch, session, init);
  if (begun.rv == CKR_OK) {
    operation.member = static_cast<std::uint8_t>(member.index);
    operation.epoch = tries.epoch;
    tries.rebound = false;
  }
  return begun;
}

Outcome Failover::execute(GroupMember& member, std::uint32_t epoch, Session& session, const Call& call) {
  RunningCall& running = session.running;
  running.member.store(static_cast<std::uint8_t>(member.index), std::memory_order_relaxed);
  running.epoch.store(epoch, std::memory_order_relaxed);
  running.fn.store(call.fn, std::memory_order_relaxed);
  running.since.store(group_.coarseNow(), std::memory_order_release);
  member.outstanding.fetch_add(1, std::memory_order_relaxed);
  const Outcome outcome = member.token->execute(call);
  member.outstanding.fetch_sub(1, std::memory_order_relaxed);
  running.since.store(0, std::memory_order_release);
  return outcome;
}

Outcome Failover::callOn(GroupMember& member, std::uint32_t epoch, Session& session, Call call) {
  Outcome outcome = sessionOn(session, member, epoch);
  if (outcome.rv == CKR_OK) {
    call.setSession(session.members[member.index].handle);
    outcome = execute(member, epoch, session, call);
  }
  if (isLoss(outcome)) {
    discardSession(session, member);
    group_.lose(member, epoch, Loss::Dropped, outcome.rv);
  }
  return outcome;
}

Judgement Failover::judgeTry(GroupMember& member, Session& session, const Request& request, Tries& tries,
                             const Outcome& outcome) {
  if (tries.absent) return {Next::NextMember, Loss::None};
  const Operation* operation = request.operation;
  Situation situation;
  situation.row = &tries.row;
  situation.outcome = outcome;
  situation.operationFed = operation != nullptr && operation->active && operation->fed;
  situation.operationPinned = operation != nullptr && operation->active && operation->mechanism.pinned();
  situation.namesObject = !request.objects.empty() || (operation != nullptr && operation->key != nullptr);
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

Outcome Failover::sessionOn(Session& session, GroupMember& member, std::uint32_t epoch) {
  MemberSession& own = session.members[member.index];
  if (own.handle != CK_INVALID_HANDLE && own.epoch == epoch) [[likely]]
    return {};
  if (own.handle != CK_INVALID_HANDLE) discardSession(session, member);
  const CK_FLAGS kind = session.readWrite() ? CKF_RW_SESSION : 0;
  if (const auto pooled = member.sessions.borrow(epoch, kind)) {
    own = *pooled;
    return {};
  }
  CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
  const Outcome opened = openSession(*member.token, kind, handle);
  if (opened.rv == CKR_OK) own = {handle, epoch, kind};
  return opened;
}

void Failover::discardSession(Session& session, GroupMember& member) {
  MemberSession& own = session.members[member.index];
  if (own.handle == CK_INVALID_HANDLE) return;
  member.sessions.discard(own);
  own = {};
}

}  // namespace p11ha::ha
