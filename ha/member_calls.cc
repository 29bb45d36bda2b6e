#include "ha/member_calls.h"

#include <utility>

#include "ha/member_login.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

Outcome MemberCalls::callOn(GroupMember& member, std::uint32_t epoch, Session& session, Call call) {
  Outcome outcome = sessionOn(session, member, epoch);
  if (outcome.rv == CKR_OK) {
    call.setSession(session.members[member.index].handle);
    outcome = execute(member, epoch, session, call);
  }
  if (isLoss(outcome)) {
    drop(session, member, epoch, outcome.rv);
  } else if (outcome.rv == CKR_USER_NOT_LOGGED_IN && noticeDeactivation(session, member, epoch)) {
    outcome = {CKR_DEVICE_ERROR};
  }
  return outcome;
}

bool MemberCalls::noticeDeactivation(Session& session, GroupMember& member, std::uint32_t epoch) {
  const bool told = group_.login.user() == CKU_USER &&
                    member.loginGeneration.load(std::memory_order_acquire) == group_.login.generation();
  if (member.lostSince(epoch)) return true;  // somebody else was first
  if (!told || sessionOn(session, member, epoch).rv != CKR_OK) return false;
  CK_SESSION_INFO info{};
  const auto asked = makeCall<Fn::GetSessionInfo>(session.members[member.index].handle, &info);
  const Outcome outcome = execute(member, epoch, session, asked);
  if (member.lostSince(epoch)) return true;
  if (outcome.rv != CKR_OK) {
    const bool alive = !isLoss(outcome) && cryptoki::probe(*member.token, session.members[member.index].handle).alive;
    if (!alive) drop(session, member, epoch, outcome.rv);
    return !alive;
  }
  if (cryptoki::isUsers(info.state)) return false;
  discardSession(session, member);
  group_.lose(member, epoch, Loss::Deactivated, CKR_USER_NOT_LOGGED_IN);
  return true;
}

bool MemberCalls::noticeLoss(Session& session, GroupMember& member, std::uint32_t epoch, CK_RV rv) {
  if (member.lostSince(epoch)) return true;
  if (cryptoki::classify(rv) != cryptoki::RvClass::Ask) return false;
  if (noticeDeactivation(session, member, epoch)) return true;
  if (cryptoki::probe(*member.token, session.members[member.index].handle).alive) return false;
  drop(session, member, epoch, rv);
  return true;
}

void MemberCalls::drop(Session& session, GroupMember& member, std::uint32_t epoch, CK_RV rv) {
  discardSession(session, member);
  group_.lose(member, epoch, Loss::Dropped, rv);
}

bool MemberCalls::catchUpLogin(Session& session, GroupMember& member, std::uint32_t epoch) {
  if (group_.login.user() == LoginState::kNobody ||
      member.loginGeneration.load(std::memory_order_acquire) == group_.login.generation())
    return false;
  if (sessionOn(session, member, epoch).rv != CKR_OK) return false;
  return logIn(group_, member, session.members[member.index].handle).rv == CKR_OK;
}

Outcome MemberCalls::sessionOn(Session& session, GroupMember& member, std::uint32_t epoch) {
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

void MemberCalls::discardSession(Session& session, GroupMember& member) {
  MemberSession& own = session.members[member.index];
  if (own.handle == CK_INVALID_HANDLE) return;
  member.sessions.discard(std::exchange(own, {}));
  session.displace(member.index);
}

void MemberCalls::abandonSession(Session& session, GroupMember& member) {
  MemberSession& own = session.members[member.index];
  if (own.handle == CK_INVALID_HANDLE) return;
  const MemberSession left = std::exchange(own, {});
  // None of them is kept for longer than there are objects.
  const bool keeps = !session.objects.empty();
  if (!keeps) closeAside(session);
  if (member.lostSince(left.epoch)) {
    member.sessions.discard(left);
  } else if (left.hasObjects && keeps) {
    session.aside.emplace_back(member.index, left);
  } else {
    member.token->execute(makeCall<Fn::CloseSession>(left.handle));
  }
  session.displace(member.index);
}

void MemberCalls::leave(Session& session, GroupMember& member) {
  discardSession(session, member);
  std::erase_if(session.aside, [&](const auto& kept) {
    if (kept.first != member.index) return false;
    member.sessions.discard(kept.second);
    return true;
  });
}

void MemberCalls::closeAside(Session& session) {
  for (const auto& [index, held] : std::exchange(session.aside, {})) {
    GroupMember& member = group_.member(index);
    if (member.lostSince(held.epoch)) {
      member.sessions.discard(held);
    } else {
      member.token->execute(makeCall<Fn::CloseSession>(held.handle));
    }
  }
}

}  // namespace p11ha::ha
