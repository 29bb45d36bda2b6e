#include "compose/shared_login.h"

#include <algorithm>
#include <span>
#include <utility>

namespace p11ha::compose {

using cryptoki::Argument;
using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::RoleKind;

namespace {

std::span<const std::uint8_t> pinAt(const Call& call, std::size_t word) {
  const auto* pin = call.get<const std::uint8_t*>(word);
  return {pin, pin == nullptr ? 0 : call.get<CK_ULONG>(word + 1)};
}

// In a time that does not tell where they differ.
bool sameBytes(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

void SharedLogin::join(ViewMember& view) {
  base::Lock lock(mutex_);
  views_.emplace(&view, kNobody);
  restrictViews();
}

void SharedLogin::leave(ViewMember& view) {
  base::Lock lock(mutex_);
  views_.erase(&view);
}

CK_USER_TYPE SharedLogin::present() const {
  for (const auto& [view, user] : views_) {
    if (user != kNobody) return user;
  }
  return kNobody;
}

void SharedLogin::restrictViews() {
  const bool somebody = present() != kNobody;
  if (!somebody) pin_.reset();
  for (const auto& [view, user] : views_) view->restricted_.store(somebody && user == kNobody);
}

Outcome SharedLogin::login(ViewMember& view, const Call& call) {
  base::Lock lock(mutex_);
  const auto user = call.get<CK_USER_TYPE>(1);
  const auto pin = pinAt(call, 2);
  const CK_USER_TYPE now = present();
  if (now != kNobody && now != user) return {CKR_USER_ANOTHER_ALREADY_LOGGED_IN};
  // The token would take any PIN now. A protected authentication path has none to compare.
  if (now != kNobody && pin_ != nullptr && !sameBytes(pin, pin_->bytes())) return {CKR_PIN_INCORRECT};
  const Outcome outcome = token_->execute(call);
  if (outcome.rv != CKR_OK && (now == kNobody || outcome.rv != CKR_USER_ALREADY_LOGGED_IN)) return outcome;
  views_[&view] = user;
  if (now == kNobody && pin.data() != nullptr) pin_ = std::make_unique<base::SecretPage>(pin);
  restrictViews();
  return {CKR_OK, outcome.fate};
}

Outcome SharedLogin::logout(ViewMember& view, const Call& call) {
  base::Lock lock(mutex_);
  const bool wasLoggedIn = std::exchange(views_[&view], kNobody) != kNobody;
  restrictViews();
  if (present() == kNobody) return token_->execute(call);
  return {wasLoggedIn ? CK_RV{CKR_OK} : CK_RV{CKR_USER_NOT_LOGGED_IN}};
}

Outcome SharedLogin::setPin(const Call& call) {
  base::Lock lock(mutex_);
  const Outcome outcome = token_->execute(call);
  if (outcome.rv == CKR_OK && pin_ != nullptr) pin_ = std::make_unique<base::SecretPage>(pinAt(call, 3));
  return outcome;
}

ViewMember::ViewMember(std::shared_ptr<SharedLogin> login) : login_(std::move(login)) { login_->join(*this); }

ViewMember::~ViewMember() { login_->leave(*this); }

Outcome ViewMember::execute(const Call& call) {
  switch (call.fn) {
    case Fn::Login:
    case Fn::LoginUser:
      if (call.get<CK_USER_TYPE>(1) != CKU_CONTEXT_SPECIFIC) return login_->login(*this, call);
      break;
    case Fn::Logout:
      return login_->logout(*this, call);
    case Fn::SetPIN:
      return login_->setPin(call);
    default:
      break;
  }
  if (restricted_.load(std::memory_order_acquire)) return asPublic(call);
  return login_->token().execute(call);
}

// The call as a token would answer it to which nobody has logged in.
Outcome ViewMember::asPublic(const Call& call) {
  for (const Argument& argument : cryptoki::function(call.fn).args()) {
    if (!cryptoki::isObjectHandle(argument.role)) continue;
    if (isPrivate(call.session(), call.get<CK_OBJECT_HANDLE>(argument.word))) return {CKR_USER_NOT_LOGGED_IN};
  }
  if (call.fn == Fn::InitPIN) return {CKR_USER_NOT_LOGGED_IN};
  if (cryptoki::function(call.fn).find(RoleKind::NewObject) != nullptr) return makePublicOnly(call);
  const Outcome outcome = login_->token().execute(call);
  if (outcome.rv != CKR_OK) return outcome;
  if (call.fn == Fn::FindObjects) leaveOutPrivate(call);
  if (call.fn == Fn::GetSessionInfo) {
    auto& info = *call.get<CK_SESSION_INFO*>(1);
    info.state = (info.flags & CKF_RW_SESSION) != 0 ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
  }
  return outcome;
}

bool ViewMember::isPrivate(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
  CK_BBOOL value = CK_FALSE;
  CK_ATTRIBUTE wanted{CKA_PRIVATE, &value, sizeof value};
  const auto asked = makeCall<Fn::GetAttributeValue>(session, object, &wanted, CK_ULONG{1});
  return login_->token().execute(asked).rv == CKR_OK && value != CK_FALSE;
}

void ViewMember::leaveOutPrivate(const Call& call) {
  auto* const found = call.get<CK_OBJECT_HANDLE*>(1);
  const CK_ULONG room = call.get<CK_ULONG>(2);
  auto& count = *call.get<CK_ULONG*>(3);
  CK_ULONG kept = 0;
  // None at all would tell the caller that the search is at its end.
  while (kept == 0 && count != 0) {
    for (CK_ULONG i = 0; i < count; ++i) {
      if (!isPrivate(call.session(), found[i])) found[kept++] = found[i];
    }
    if (kept == 0 && login_->token().execute(call).rv != CKR_OK) break;
  }
  count = std::min(kept, room);
}

// Whether an object will be private its template need not say: it is looked at, and goes if it is.
Outcome ViewMember::makePublicOnly(const Call& call) {
  const Outcome outcome = login_->token().execute(call);
  if (outcome.rv != CKR_OK) return outcome;
  bool refused = false;
  const auto args = cryptoki::function(call.fn).args();
  for (const Argument& argument : args) {
    if (argument.role != RoleKind::NewObject) continue;
    refused = refused || isPrivate(call.session(), *call.get<CK_OBJECT_HANDLE*>(argument.word));
  }
  if (!refused) return outcome;
  for (const Argument& argument : args) {
    if (argument.role != RoleKind::NewObject) continue;
    auto& made = *call.get<CK_OBJECT_HANDLE*>(argument.word);
    login_->token().execute(makeCall<Fn::DestroyObject>(call.session(), made));
    made = CK_INVALID_HANDLE;
  }
  return {CKR_USER_NOT_LOGGED_IN};
}

}  // namespace p11ha::compose
