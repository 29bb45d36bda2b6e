#include "ha/member_login.h"

#include "ha/repetition.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

namespace {

// Of what says nothing of the PIN: without a login the member is of no use, and given up.
constexpr int kMostTries = 3;

// The last try of a PIN is the application's own: a member whose counter is nearly used up is never given the cached
// one.
Outcome mayBeGivenThePin(GroupMember& member, CK_USER_TYPE userType) {
  CK_TOKEN_INFO info{};
  const Outcome asked = cryptoki::readTokenInfo(*member.token, info);
  if (asked.rv != CKR_OK) return asked;
  const CK_FLAGS spent =
      userType == CKU_SO ? CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED : CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
  return (info.flags & spent) != 0 ? Outcome{CKR_PIN_LOCKED} : Outcome{};
}

}  // namespace

Outcome logIn(Group& group, GroupMember& member, CK_SESSION_HANDLE session) {
  auto credentials = group.login.credentials();
  if (!credentials) {
    const std::uint64_t generation = group.login.generation();
    const Outcome out = member.token->execute(makeCall<Fn::Logout>(session));
    if (out.rv != CKR_OK && out.rv != CKR_USER_NOT_LOGGED_IN) return out;
    member.loginGeneration.store(generation, std::memory_order_release);
    return {};
  }
  CK_UTF8CHAR empty = 0;
  CK_UTF8CHAR* pin = credentials->pin.empty() ? &empty : credentials->pin.data();
  if (!credentials->pinGiven) pin = nullptr;
  auto* const name = reinterpret_cast<CK_UTF8CHAR*>(credentials->userName.data());
  const auto ask = [&] {
    if (const Outcome may = mayBeGivenThePin(member, credentials->userType); may.rv != CKR_OK) return may;
    return member.token->execute(credentials->userName.empty()
                                     ? makeCall<Fn::Login>(session, credentials->userType, pin, credentials->pin.size())
                                     : makeCall<Fn::LoginUser>(session, credentials->userType, pin,
                                                               credentials->pin.size(), name,
                                                               credentials->userName.size()));
  };
  Outcome in = ask();
  for (Repetition repetition(kMostTries); repetition.isWorthIt(*member.token, session, in.rv);) in = ask();
  if (in.rv != CKR_OK && in.rv != CKR_USER_ALREADY_LOGGED_IN) return in;
  member.loginGeneration.store(credentials->generation, std::memory_order_release);
  return {};
}

Loss lossOfLogin(const Outcome& outcome) {
  if (isLoss(outcome)) return Loss::Dropped;
  switch (outcome.rv) {
    case CKR_OK:
    case CKR_USER_ALREADY_LOGGED_IN:
      return Loss::None;
    case CKR_USER_NOT_LOGGED_IN:
    case CKR_USER_PIN_NOT_INITIALIZED:
      return Loss::Deactivated;
    case CKR_USER_ANOTHER_ALREADY_LOGGED_IN:
      return Loss::Dropped;
    default:
      break;
  }
  return cryptoki::classify(outcome.rv) == cryptoki::RvClass::Application ? Loss::LoginRefused : Loss::Dropped;
}

}  // namespace p11ha::ha
