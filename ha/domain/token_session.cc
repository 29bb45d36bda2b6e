#include "ha/domain/token_session.h"

namespace p11ha::ha::domain {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

TokenSession::~TokenSession() {
  if (!isOpen()) return;
  logout();
  member_.execute(makeCall<Fn::CloseSession>(session_));
}

Outcome TokenSession::open() {
  if (isOpen()) return {};
  if (const CK_RV rv = member_.attach(); rv != CKR_OK) return {rv};
  return member_.execute(
      makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session_));
}

Outcome TokenSession::login(CK_USER_TYPE user, const base::SecureBytes& pin) {
  if (user_ == user) return {};
  if (const Outcome ended = logout(); ended.rv != CKR_OK) return ended;
  CK_TOKEN_INFO info{};
  if (const Outcome told = member_.execute(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info)); told.rv != CKR_OK)
    return told;
  const CK_FLAGS danger =
      user == CKU_SO ? CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED : CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
  if ((info.flags & danger) != 0) return {CKR_PIN_LOCKED};
  base::SecureBytes given = pin;  // C_Login's is not constant
  const Outcome outcome = member_.execute(makeCall<Fn::Login>(session_, user, given.data(), given.size()));
  if (outcome.rv == CKR_OK) user_ = user;
  return outcome;
}

Outcome TokenSession::logout() {
  if (!user_) return {};
  user_.reset();
  return member_.execute(makeCall<Fn::Logout>(session_));
}

}  // namespace p11ha::ha::domain
