#include "ha/login.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "ha/member_login.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

namespace {

// Inside C_Login a connection that is lost is a login that failed: its recovery waits for the next one.
Loss lossInLogin(const Outcome& outcome) {
  const Loss loss = lossOfLogin(outcome);
  return loss == Loss::Dropped && outcome.rv != CKR_USER_ANOTHER_ALREADY_LOGGED_IN ? Loss::LoginRefused : loss;
}

std::string userNameOf(const Call& call) {
  const cryptoki::Argument* name = cryptoki::function(call.fn).find(cryptoki::RoleKind::UserName);
  if (name == nullptr || call.get<const char*>(name->word) == nullptr) return {};
  return {call.get<const char*>(name->word), call.get<CK_ULONG>(name->word + 1U)};
}

}  // namespace

// Does something in the member's control session.
template <class F>
Outcome Login::onControl(GroupMember& member, std::uint32_t epoch, F&& run) {
  ControlSession::Use control(member.control);
  const Outcome opened = control.open(*member.token, epoch);
  return opened.rv == CKR_OK ? run(control.handle()) : opened;
}

Outcome Login::callOn(GroupMember& member, std::uint32_t epoch, Call call) {
  return onControl(member, epoch, [&](CK_SESSION_HANDLE session) {
    call.setSession(session);
    return member.token->execute(call);
  });
}

// A token is no Security Officer's as long as it has read-only sessions (PKCS #11 v3.0, 5.6.7): those that wait in the
// pool are nobody's.
void Login::closeReadOnly(GroupMember& member) {
  for (const MemberSession& pooled : member.sessions.takeAll())
    member.token->execute(makeCall<Fn::CloseSession>(pooled.handle));
}

// It answered what says nothing (CKR_GENERAL_ERROR), and is not there any more.
bool Login::isDead(GroupMember& member, const Outcome& outcome) {
  if (cryptoki::classify(outcome.rv) != cryptoki::RvClass::Ask) return false;
  CK_TOKEN_INFO info{};
  return cryptoki::readTokenInfo(*member.token, info).rv != CKR_OK;
}

// The primary's own word for what cannot be; `otherwise` where it has none.
CK_RV Login::onPrimary(const Call& call, CK_RV otherwise) {
  const MemberMask callable = group_.callable();
  if (callable == 0) return otherwise;
  GroupMember& member = group_.member(static_cast<unsigned>(std::countr_zero(callable)));
  const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
  const Outcome outcome = callOn(member, epoch, call);
  if (isLoss(outcome)) group_.lose(member, epoch, Loss::Dropped, outcome.rv);
  return isLoss(outcome) || outcome.rv == CKR_OK ? otherwise : outcome.rv;
}

CK_RV Login::login(const Call& call) {
  const auto userType = call.get<CK_USER_TYPE>(1);
  awaitMember();
  base::Lock turn(turn_);
  const CK_USER_TYPE present = group_.login.user();
  CK_RV refusal = CKR_OK;
  if (userType != CKU_USER && userType != CKU_SO) {
    refusal = CKR_USER_TYPE_INVALID;
  } else if (present != LoginState::kNobody) {
    refusal = present == userType ? CK_RV{CKR_USER_ALREADY_LOGGED_IN} : CK_RV{CKR_USER_ANOTHER_ALREADY_LOGGED_IN};
  }
  if (refusal != CKR_OK) {
    // Members may have something else against such a call. One with a PIN might cost them a try of it.
    const bool harmless = call.fn == Fn::LoginUser || call.get<void*>(2) == nullptr;
    return harmless ? onPrimary(call, refusal) : refusal;
  }

  // The primary is asked first, and alone: what it refuses is not tried on the others.
  GroupMember* first = nullptr;
  GroupMember* unproven = nullptr;
  std::optional<CK_RV> refused;
  MemberMask lost = 0;
  std::vector<std::pair<GroupMember*, std::uint32_t>> notActivated;
  for (MemberMask tried = 0; first == nullptr;) {
    MemberMask left = group_.callable() & ~tried;
    // A standby member serves as soon as those are given up that are not activated.
    if (left == 0 && refused) left = group_.well(group_.view().synced) & ~tried;
    if (left == 0) {
      if (unproven == nullptr) {
        // Whom an earlier login lost is tried again, though this one found nobody.
        if (!refused) onLoginStarted_(lost);
        return refused ? *refused : group_.noAnswer();
      }
      first = unproven;
      break;
    }
    GroupMember& member = group_.member(static_cast<unsigned>(std::countr_zero(left)));
    tried |= bit(member.index);
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    if (userType == CKU_SO) closeReadOnly(member);
    const Outcome outcome = callOn(member, epoch, call);
    if (isLoss(outcome) || isDead(member, outcome)) {
      group_.lose(member, epoch, Loss::LoginRefused, outcome.rv);
      lost |= bit(member.index);
      continue;
    }
    // It says nothing of the PIN, and may let the user in another time; any other member will do.
    if (cryptoki::classify(outcome.rv) == cryptoki::RvClass::Ask) {
      refused = outcome.rv;
      continue;
    }
    // As long as another member lets the user in.
    if (lossInLogin(outcome) == Loss::Deactivated) {
      notActivated.emplace_back(&member, epoch);
      refused = outcome.rv;
      continue;
    }
    // Somebody else in this process has logged in to that token, which takes any PIN now: one that checks it is asked.
    if (outcome.rv == CKR_USER_ALREADY_LOGGED_IN) {
      if (unproven == nullptr) unproven = &member;
      continue;
    }
    if (outcome.rv != CKR_OK) return outcome.rv;
    first = &member;
  }
  group_.login.loggedIn(userType, call.get<const CK_UTF8CHAR*>(2), call.get<CK_ULONG>(3), userNameOf(call));
  first->loginGeneration.store(group_.login.generation(), std::memory_order_release);
  // Before the others are asked: one of them that refuses now is not to be tried again at once.
  onLoginStarted_(lost);
  for (const auto& [member, epoch] : notActivated)
    group_.lose(*member, epoch, Loss::Deactivated, CKR_USER_NOT_LOGGED_IN);

  for (GroupMember& member : group_.each(group_.view().synced & ~bit(first->index))) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    if (member.isSuspect()) continue;
    if (userType == CKU_SO) closeReadOnly(member);
    const Outcome outcome =
        onControl(member, epoch, [&](CK_SESSION_HANDLE session) { return logIn(group_, member, session); });
    if (outcome.rv != CKR_OK) group_.lose(member, epoch, lossInLogin(outcome), outcome.rv);
  }
  return CKR_OK;
}

// RecoverWait. Before the turn is taken: others need not wait as long.
void Login::awaitMember() {
  const GroupPolicy& policy = group_.policy();
  if (policy.recoverWait.count() == 0 || group_.callable() != 0) return;
  group_.awaitMember(std::min(policy.recoverWait, policy.callDeadline));
}

CK_RV Login::logout() {
  base::Lock turn(turn_);
  return logoutLocked();
}

CK_RV Login::logoutLocked() {
  if (group_.login.user() == LoginState::kNobody) return CKR_USER_NOT_LOGGED_IN;
  // First of all: whoever is about to log a member in must see that nobody is logged in any more.
  group_.login.loggedOut();
  group_.objects.removeIf([](const Object& object) { return object.identity().isPrivate; });
  for (GroupMember& member : group_.each(group_.view().synced)) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    if (member.isSuspect()) continue;
    const Outcome outcome =
        onControl(member, epoch, [&](CK_SESSION_HANDLE session) { return logIn(group_, member, session); });
    group_.objects.forgetHidden(member.index);
    group_.notes.forgetPrivate(member.index);
    if (isLoss(outcome)) group_.lose(member, epoch, Loss::Dropped, outcome.rv);
  }
  return CKR_OK;
}

// What a PIN change would meet on any member, as far as that can be told without asking one for it.
CK_RV Login::foreseeable(const Call& call) {
  const bool init = call.fn == Fn::InitPIN;
  if (init && group_.login.user() != CKU_SO) return CKR_USER_NOT_LOGGED_IN;
  const auto* const oldPin = call.get<const CK_UTF8CHAR*>(1);
  const auto* const newPin = call.get<const CK_UTF8CHAR*>(init ? 1 : 3);
  if (oldPin == nullptr || newPin == nullptr) return CKR_ARGUMENTS_BAD;
  const MemberMask callable = group_.callable();
  if (callable == 0) return CKR_OK;
  CK_TOKEN_INFO info{};
  GroupMember& member = group_.member(static_cast<unsigned>(std::countr_zero(callable)));
  if (cryptoki::readTokenInfo(*member.token, info).rv != CKR_OK) return CKR_OK;
  if ((info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0) return CKR_OK;
  const auto credentials = group_.login.credentials();
  if (!init && credentials && credentials->pinGiven) {
    const auto length = call.get<CK_ULONG>(2);
    if (!std::equal(credentials->pin.begin(), credentials->pin.end(), oldPin, oldPin + length))
      return CKR_PIN_INCORRECT;
  }
  const auto newLength = call.get<CK_ULONG>(init ? 2 : 4);
  return newLength < info.ulMinPinLen || newLength > info.ulMaxPinLen ? CKR_PIN_LEN_RANGE : CKR_OK;
}

// A member of which nobody has noticed yet that it is gone would get the change too late to undo it elsewhere.
void Login::lookAfterAll() {
  for (GroupMember& member : group_.each(group_.view().synced)) {
    const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
    CK_SESSION_INFO info{};
    const Outcome outcome = callOn(member, epoch, makeCall<Fn::GetSessionInfo>(CK_SESSION_HANDLE{0}, &info));
    if (isLoss(outcome)) group_.lose(member, epoch, Loss::Dropped, outcome.rv);
  }
}

// The same change on the primary, whose refusal is the answer, then on the others; what one of those refuses is undone.
CK_RV Login::onAll(const Call& call, const std::function<bool(GroupMember&, std::uint32_t)>& undo) {
  const std::string function(cryptoki::function(call.fn).name);
  std::vector<GroupMember*> all;
  for (GroupMember& member : group_.each(group_.members.present())) all.push_back(&member);
  lookAfterAll();
  for (const GroupMember* member : all) {
    if ((group_.view().synced & bit(member->index)) != 0 && !member->isSuspect()) continue;
    if (const CK_RV refusal = foreseeable(call); refusal != CKR_OK) return refusal;
    group_.log(halog::PinNotChanged{function, member->serial});
    return group_.noAnswer();
  }
  const auto primary = std::find_if(
      all.begin(), all.end(), [index = group_.view().primary()](const auto* member) { return member->index == index; });
  std::rotate(all.begin(), primary, all.end());
  std::vector<std::pair<GroupMember*, std::uint32_t>> done;
  for (GroupMember* const member : all) {
    const std::uint32_t epoch = member->epoch.load(std::memory_order_acquire);
    const Outcome outcome = callOn(*member, epoch, call);
    if (outcome.rv == CKR_OK) {
      done.emplace_back(member, epoch);
      continue;
    }
    if (isLoss(outcome) && !undo && !done.empty()) {
      // With no way back the others are to have it.
      group_.log(halog::PinUncertain{function, member->serial});
      group_.lose(*member, epoch, Loss::Dropped, outcome.rv);
      continue;
    }
    for (const auto& [changed, under] : done) {
      if (!undo || !undo(*changed, under)) group_.log(halog::PinUncertain{function, changed->serial});
    }
    if (!isLoss(outcome)) return outcome.rv;
    if (outcome.fate != cryptoki::Fate::NotSent) group_.log(halog::PinUncertain{function, member->serial});
    group_.lose(*member, epoch, Loss::Dropped, outcome.rv);
    return CKR_DEVICE_ERROR;
  }
  return CKR_OK;
}

CK_RV Login::setPin(const Call& call) {
  base::Lock turn(turn_);
  Call back = call;
  back.words[1] = call.words[3];
  back.words[2] = call.words[4];
  back.words[3] = call.words[1];
  back.words[4] = call.words[2];
  const CK_RV rv = onAll(call, [&](GroupMember& member, std::uint32_t epoch) {
    const Outcome undone = callOn(member, epoch, back);
    if (isLoss(undone)) group_.lose(member, epoch, Loss::Dropped, undone.rv);
    return undone.rv == CKR_OK;
  });
  // The cached PIN serves members that come back later.
  if (rv == CKR_OK) group_.login.pinChanged(call.get<const CK_UTF8CHAR*>(3), call.get<CK_ULONG>(4));
  return rv;
}

CK_RV Login::initPin(const Call& call) {
  base::Lock turn(turn_);
  // There is no way back: the user's old PIN is not known to anyone.
  return onAll(call, {});
}

}  // namespace p11ha::ha
