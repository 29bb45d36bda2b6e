#include "ha/virtual_token.h"

#include "cryptoki/text.h"
#include "ha/admission.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::EffectKind;
using cryptoki::Fn;
using cryptoki::Function;
using cryptoki::makeCall;
using cryptoki::Op;
using cryptoki::Outcome;
using cryptoki::Replay;

VirtualToken::VirtualToken(CK_SLOT_ID slot, Face face, const GroupPolicy& policy, std::vector<MemberSpec> members,
                           const Ports& ports)
    : slot_(slot),
      face_(face),
      sessions_(ports.sessions),
      group_(policy, ports.clock, ports.log),
      catalog_(group_),
      domainKeys_(group_),
      cloner_(group_, domainKeys_),
      failover_(group_, catalog_),
      operations_(group_, failover_),
      states_(group_, failover_),
      records_(group_, catalog_),
      truth_(group_, domainKeys_, records_, failover_),
      missed_(group_, catalog_, failover_),
      keys_(group_, catalog_, cloner_, failover_, truth_, records_, missed_),
      generation_(group_, cloner_, failover_, keys_, truth_, records_),
      searches_(group_, catalog_, records_, failover_),
      resync_(group_, catalog_, cloner_, records_),
      recovery_(group_, catalog_, domainKeys_, resync_, records_),
      retirement_(group_, failover_, sessions_, *this),
      management_(group_, recovery_, retirement_, sessions_, *this, ports.scheduler, ports.workers, ports.beforeAttempt,
                  ports.decide),
      login_(group_, [this](MemberMask lost) { management_.loginStarted(lost); }) {
  group_.onPresence = ports.presence;
  group_.onChange = ports.changed;
  for (MemberSpec& member : members) {
    const GroupMember* const enrolled = group_.members.add(std::move(member.token), member.standby);
    if (enrolled != nullptr) management_.enlist(enrolled->index);
  }
}

void VirtualToken::start() {
  std::vector<std::optional<MemberEvent>> found;
  std::optional<CK_TOKEN_INFO> first;
  for (GroupMember& member : group_.each(group_.members.present())) {
    CK_TOKEN_INFO info{};
    found.push_back(admitAtStart(group_, member, info));
    const bool mayBeOne = !found.back() || std::holds_alternative<event::NotActivated>(*found.back());
    if (mayBeOne && !first) first = info;
  }
  if (first) {
    base::Lock lock(infoMutex_);
    lastInfo_ = *first;
  }
  management_.start(found);
}

void VirtualToken::stop() {
  sessions_.closeAll(*this);
  login_.logout();
  for (GroupMember& member : group_.each(group_.view().synced)) {
    if (!member.isSuspect()) member.closeSessions();
  }
  management_.stop();
}

CK_RV VirtualToken::own(Session& session, Call& call) {
  switch (call.fn) {
    case Fn::Login:
    case Fn::LoginUser: {
      if (call.get<CK_USER_TYPE>(1) == CKU_CONTEXT_SPECIFIC) return operations_.authenticate(session, call);
      if (call.get<CK_USER_TYPE>(1) == CKU_SO && sessions_.count(*this).readWrite != sessions_.count(*this).all) {
        return CKR_SESSION_READ_ONLY_EXISTS;
      }
      const CK_RV rv = login_.login(call);
      if (rv == CKR_OK) {
        catalog_.refresh(group_.view().synced);
        domainKeys_.refresh(group_.view().synced);
        resync_.applyNotes();
      }
      return rv;
    }
    case Fn::Logout:
      session.recent = {};
      return login_.logout();
    case Fn::SetPIN:
      return session.readWrite() ? login_.setPin(call) : CKR_SESSION_READ_ONLY;
    case Fn::InitPIN:
      return login_.initPin(call);
    case Fn::SeedRandom:
      return seedRandom(session, call);
    case Fn::GetFunctionStatus:
    case Fn::CancelFunction:
      return CKR_FUNCTION_NOT_PARALLEL;
    case Fn::GetOperationState:
      return states_.get(session, call);
    case Fn::SetOperationState: {
      const NamedObjects keys(group_, session, call);
      return states_.set(session, call, keys.all());
    }
    default:
      return CKR_FUNCTION_NOT_SUPPORTED;
  }
}

CK_RV VirtualToken::wrap(Session& session, const Call& call) {
  const auto key = call.get<CK_OBJECT_HANDLE>(cryptoki::function(call.fn).find(cryptoki::RoleKind::KeyId)->word);
  if (const CK_RV rv = truth_.mayWrap(session, key); rv != CKR_OK) return rv;
  return truth_.answerToWrap(session, key, operations_.wrap(session, call));
}

CK_RV VirtualToken::seedRandom(Session& session, const Call& call) {
  // Every member mixes it in; the first that answers speaks for the group.
  CK_RV answer = group_.noAnswer();
  bool answered = false;
  for (GroupMember& member : group_.each(group_.callable())) {
    const Outcome outcome = failover_.callOn(member, member.epoch.load(std::memory_order_acquire), session, call);
    if (answered || isLoss(outcome)) continue;
    answer = outcome.rv;
    answered = true;
  }
  return answer;
}

CK_RV VirtualToken::call(const Call& call) {
  switch (call.fn) {
    case Fn::GetSlotInfo:
      return slotInfo(call.get<CK_SLOT_INFO*>(1));
    case Fn::GetTokenInfo:
      return tokenInfo(call.get<CK_TOKEN_INFO*>(1));
    case Fn::GetMechanismList:
      return mechanismList(call.get<CK_MECHANISM_TYPE*>(1), call.get<CK_ULONG*>(2));
    case Fn::GetMechanismInfo:
      return mechanismInfo(call.get<CK_MECHANISM_TYPE>(1), call.get<CK_MECHANISM_INFO*>(2));
    case Fn::OpenSession:
      return openSession(call);
    case Fn::CloseAllSessions:
      if (sessions_.closeAll(*this) != 0) login_.logout();
      return CKR_OK;
    default:
      // A group's tokens, and a member's, are not initialised through the group.
      return CKR_FUNCTION_NOT_SUPPORTED;
  }
}

CK_RV VirtualToken::openSession(const Call& call) {
  const auto flags = call.get<CK_FLAGS>(1);
  auto* const answer = call.get<CK_SESSION_HANDLE*>(4);
  if (answer == nullptr) return CKR_ARGUMENTS_BAD;
  if ((flags & CKF_SERIAL_SESSION) == 0) return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
  if ((flags & CKF_RW_SESSION) == 0 && group_.login.user() == CKU_SO) return CKR_SESSION_READ_WRITE_SO_EXISTS;
  if (group_.noAnswer() == CKR_DEVICE_REMOVED) return CKR_DEVICE_REMOVED;
  const Session* session = sessions_.open(*this, flags, [&](Session& fresh) P11HA_NO_THREAD_SAFETY_ANALYSIS {
    fresh.slot = slot_;
    fresh.application = call.get<CK_VOID_PTR>(2);
    fresh.notify = call.get<CK_NOTIFY>(3);
    fresh.members.fill({});
    // Sessions begin their turns at different members, so that short-lived ones are spread too.
    fresh.turns.fill(static_cast<std::uint8_t>(fresh.ordinal() % kMaxMembers));
  });
  if (session == nullptr) return CKR_SESSION_COUNT;
  *answer = session->handle.load(std::memory_order_relaxed);
  return CKR_OK;
}

CK_RV VirtualToken::closeSession(CK_SESSION_HANDLE handle) {
  if (!sessions_.close(handle)) return CKR_SESSION_HANDLE_INVALID;
  if (group_.login.user() != LoginState::kNobody && sessions_.count(*this).all == 0) login_.logout();
  return CKR_OK;
}

void VirtualToken::closing(Session& session) P11HA_NO_THREAD_SAFETY_ANALYSIS {
  keys_.endSessionObjects(session);
  const auto end = [&](GroupMember& member, const MemberSession& held, bool clean) {
    if (member.lostSince(held.epoch)) {
      member.sessions.discard(held);
    } else if (!clean || !member.sessions.giveBack(held)) {
      member.token->execute(makeCall<Fn::CloseSession>(held.handle));
    }
  };
  failover_.closeAside(session);
  for (GroupMember& member : group_.each(group_.members.everyone())) {
    MemberSession& held = session.members[member.index];
    if (held.handle == CK_INVALID_HANDLE) continue;
    // A member may have kept an object that it was told to destroy.
    end(member, held, !session.anyOn(member.index) && !held.hasObjects);
    held = {};
  }
  base::Lock lock(countsMutex_);
  for (GroupMember& member : group_.each(group_.members.everyone()))
    closedCalls_[member.index] += session.calls[member.index].exchange(0, std::memory_order_relaxed);
}

GroupStatus VirtualToken::status() const {
  GroupStatus status{group_.policy().label, group_.policy().serial, management_.allLostSince(), {}};
  const MemberMask serving = group_.view().serving;
  std::array<std::uint64_t, kMaxMembers> calls{};
  {
    base::Lock lock(countsMutex_);
    calls = closedCalls_;
    sessions_.visit([&](const Session& session) {
      if (session.owner.load(std::memory_order_acquire) != this) return;
      for (unsigned i = 0; i < calls.size(); ++i) calls[i] += session.calls[i].load(std::memory_order_relaxed);
    });
  }
  for (const GroupMember& member : group_.members.each(group_.members.present())) {
    MemberState state = management_.state(member.index);
    if (state.phase == Phase::Removed) continue;
    MemberStatus& row = status.members.emplace_back();
    row.serial = member.serial;
    row.standby = member.standby;
    row.serves = (serving & bit(member.index)) != 0;
    row.state = std::move(state);
    row.outstanding = member.outstanding.load(std::memory_order_relaxed);
    row.calls = calls[member.index];
    row.failovers = member.failovers.load(std::memory_order_relaxed);
  }
  return status;
}

CK_RV VirtualToken::slotInfo(CK_SLOT_INFO* info) const {
  if (info == nullptr) return CKR_ARGUMENTS_BAD;
  *info = {};
  cryptoki::pad(info->slotDescription, face_ == Face::Group ? "HA Virtual Card Slot" : "Net Token Slot");
  cryptoki::pad(info->manufacturerID, "p11ha");
  info->flags = CKF_TOKEN_PRESENT;
  if (face_ == Face::Member && group_.view().none()) info->flags = 0;
  return CKR_OK;
}

CK_RV VirtualToken::tokenInfo(CK_TOKEN_INFO* info) {
  if (info == nullptr) return CKR_ARGUMENTS_BAD;
  if (group_.ended()) return CKR_DEVICE_REMOVED;
  bool asked = false;
  CK_RV refusal = CKR_OK;
  for (MemberMask tried = 0; !asked;) {
    const MemberMask callable = group_.callable() & ~tried;
    if (callable == 0) break;
    GroupMember& member = group_.member(static_cast<unsigned>(std::countr_zero(callable)));
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    const Outcome outcome = cryptoki::readTokenInfo(*member.token, *info);
    if (isLoss(outcome)) {
      group_.lose(member, epoch, Loss::Dropped, outcome.rv);
      continue;
    }
    tried |= bit(member.index);
    asked = outcome.rv == CKR_OK;
    refusal = outcome.rv;
  }
  if (!asked && refusal != CKR_OK) return refusal;
  if (face_ == Face::Member && !asked) return CKR_TOKEN_NOT_PRESENT;
  {
    base::Lock lock(infoMutex_);
    if (asked) {
      lastInfo_ = *info;
    } else {
      *info = lastInfo_;
    }
  }
  if (face_ == Face::Group) {
    cryptoki::pad(info->label, group_.policy().label);
    cryptoki::pad(info->serialNumber, group_.policy().serial);
    cryptoki::pad(info->manufacturerID, "p11ha");
    cryptoki::pad(info->model, "LunaVirtual");
  }
  const SessionTable::Count count = sessions_.count(*this);
  info->ulSessionCount = count.all;
  info->ulRwSessionCount = count.readWrite;
  return CKR_OK;
}

CK_RV VirtualToken::mechanismList(CK_MECHANISM_TYPE* list, CK_ULONG* count) const {
  if (count == nullptr) return CKR_ARGUMENTS_BAD;
  const std::vector<CK_MECHANISM_TYPE> types = group_.mechanisms.list();
  const CK_ULONG room = *count;
  *count = types.size();
  if (list == nullptr) return CKR_OK;
  if (room < types.size()) return CKR_BUFFER_TOO_SMALL;
  std::copy(types.begin(), types.end(), list);
  return CKR_OK;
}

CK_RV VirtualToken::mechanismInfo(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO* info) const {
  if (info == nullptr) return CKR_ARGUMENTS_BAD;
  const CK_MECHANISM_INFO* known = group_.mechanisms.info(type);
  if (known == nullptr) return CKR_MECHANISM_INVALID;
  *info = *known;
  return CKR_OK;
}

}  // namespace p11ha::ha
