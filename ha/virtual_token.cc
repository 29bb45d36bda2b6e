#include "ha/virtual_token.h"

#include "cryptoki/text.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::EffectKind;
using cryptoki::Fn;
using cryptoki::Function;
using cryptoki::makeCall;
using cryptoki::Op;
using cryptoki::Outcome;
using cryptoki::Replay;

VirtualToken::VirtualToken(CK_SLOT_ID slot, Face face, GroupPolicy policy, std::vector<MemberSpec> members,
                           const Ports& ports)
    : slot_(slot),
      face_(face),
      sessions_(ports.sessions),
      group_(std::move(policy), ports.clock, ports.log),
      catalog_(group_),
      cloner_(group_),
      failover_(group_, catalog_),
      operations_(group_, failover_),
      states_(group_, failover_),
      keys_(group_, catalog_, cloner_, failover_),
      generation_(group_, cloner_, failover_, keys_),
      searches_(group_, catalog_, failover_),
      recovery_(group_, catalog_, cloner_),
      management_(group_, recovery_, sessions_, *this, ports.scheduler, ports.workers),
      login_(group_, [this] { management_.loginStarted(); }) {
  group_.onPresence = ports.presence;
  for (MemberSpec& member : members) {
    const auto index = static_cast<unsigned>(group_.members.size());
    group_.members.push_back(std::make_unique<GroupMember>(index, std::move(member.token), member.standby));
  }
}

void VirtualToken::start() {
  std::vector<CK_RV> attached;
  CK_TOKEN_INFO first{};
  bool any = false;
  for (const auto& member : group_.members) {
    CK_RV rv = member->token->attach();
    CK_TOKEN_INFO info{};
    if (rv == CKR_OK) rv = member->token->execute(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info)).rv;
    if (rv == CKR_OK) rv = group_.mechanisms.intersect(*member->token).rv;
    if (rv == CKR_OK && !any) {
      first = info;
      any = true;
    }
    attached.push_back(rv);
  }
  {
    base::Lock lock(infoMutex_);
    lastInfo_ = first;
  }
  management_.start(attached, (first.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0);
}

void VirtualToken::stop() {
  sessions_.closeAll(*this);
  login_.logout();
  for (const auto& member : group_.members) {
    if (member->isSuspect() || (group_.view().synced & bit(member->index)) == 0) continue;
    ControlSession::Use control(member->control);
    for (const MemberSession& pooled : member->sessions.takeAll()) {
      member->token->execute(makeCall<Fn::CloseSession>(pooled.handle));
    }
    control.close(*member->token);
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
      if (rv == CKR_OK) catalog_.refresh(group_.view().synced);
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

CK_RV VirtualToken::seedRandom(Session& session, const Call& call) {
  // Every member mixes it in; the first that answers speaks for the group.
  CK_RV answer = CKR_DEVICE_ERROR;
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
  if (group_.view().none() && group_.policy.recoveryMode == RecoveryMode::Basic) return CKR_DEVICE_REMOVED;
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
  for (const auto& member : group_.members) {
    MemberSession& held = session.members[member->index];
    if (held.handle == CK_INVALID_HANDLE) continue;
    // A member may have kept an object that it was told to destroy.
    end(*member, held, !session.anyOn(member->index) && !held.hasObjects);
    held = {};
  }
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
  bool asked = false;
  while (!asked) {
    const MemberMask callable = group_.callable();
    if (callable == 0) break;
    GroupMember& member = group_.member(static_cast<unsigned>(std::countr_zero(callable)));
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    const Outcome outcome = member.token->execute(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, info));
    if (isLoss(outcome)) {
      group_.lose(member, epoch, Loss::Dropped, outcome.rv);
      continue;
    }
    if (outcome.rv != CKR_OK) return outcome.rv;
    asked = true;
  }
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
    cryptoki::pad(info->label, group_.policy.label);
    cryptoki::pad(info->serialNumber, group_.policy.serial);
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
