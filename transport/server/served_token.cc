#include "transport/server/served_token.h"

#include <utility>

namespace p11ha::transport {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Route;

bool needsLogin(Fn fn) {
  if (cryptoki::function(fn).route != Route::Session) return false;
  switch (fn) {
    case Fn::CloseSession:
    case Fn::GetSessionInfo:
    case Fn::Login:
    case Fn::LoginUser:
    case Fn::Logout:
    case Fn::SetPIN:
    case Fn::GenerateRandom:
    case Fn::SeedRandom:
    case Fn::DigestInit:
    case Fn::Digest:
    case Fn::DigestUpdate:
    case Fn::DigestFinal:
    case Fn::SessionCancel:
    case Fn::GetFunctionStatus:
    case Fn::CancelFunction:
      return false;
    default:
      // Searches, too: what they do not find must not be taken for lost.
      return true;
  }
}

ServedToken::ServedToken(std::shared_ptr<cryptoki::LocalModule> module, CK_SLOT_ID slot, const Partition& partition,
                         Sessions& sessions)
    : module_(std::move(module)),
      store_(module_->storeOf(partition.serial)),
      slot_(slot),
      serial_(partition.serial),
      label_(partition.label),
      sessions_(sessions),
      authentication_(partition.authentication),
      pedPin_(partition.pedPin) {}

void ServedToken::use(const Partition& partition) {
  base::Lock lock(applying_);
  authentication_ = partition.authentication;
  base::wipeAndClear(pedPin_);
  pedPin_ = partition.pedPin;
}

std::optional<base::SecureBytes> ServedToken::pinOfPed() const {
  base::Lock lock(applying_);
  if (authentication_ != Authentication::Ped) return std::nullopt;
  return pedPin_;
}

CK_RV ServedToken::execute(Call& call, std::uint64_t connection) {
  if (state() == PartitionState::Revoked) return CKR_TOKEN_NOT_PRESENT;
  switch (cryptoki::function(call.fn).route) {
    case Route::Slot:
      return executeInSlot(call, connection);
    case Route::Session:
      return executeInSession(call, connection);
    case Route::Library:
      break;
  }
  // The module's own life, and what it tells of all its slots, are no client's business.
  return call.fn == Fn::GetInfo ? invoke(call) : CK_RV{CKR_FUNCTION_NOT_SUPPORTED};
}

CK_RV ServedToken::executeInSlot(Call& call, std::uint64_t connection) {
  call.setSlot(slot_);
  switch (call.fn) {
    case Fn::OpenSession:
      return open(call, connection);
    case Fn::CloseAllSessions:
      closeSessionsOf(connection);
      return CKR_OK;
    case Fn::InitToken:
      return CKR_FUNCTION_NOT_SUPPORTED;
    case Fn::GetTokenInfo: {
      const CK_RV rv = invoke(call);
      if (auto* const info = call.get<CK_TOKEN_INFO*>(1); rv == CKR_OK && info != nullptr && pinOfPed())
        info->flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
      return rv;
    }
    default:
      return invoke(call);
  }
}

CK_RV ServedToken::open(Call& call, std::uint64_t connection) {
  auto* const shown = call.get<CK_SESSION_HANDLE*>(4);
  if (shown == nullptr) return CKR_ARGUMENTS_BAD;
  if (!sessions_.reserve()) return CKR_SESSION_COUNT;
  CK_SESSION_HANDLE own = CK_INVALID_HANDLE;
  const CK_RV rv = openInModule(call.get<CK_FLAGS>(1), own);
  if (rv != CKR_OK) {
    sessions_.cancel();
    return rv;
  }
  *shown = sessions_.add(*this, connection, own);
  // Taken away meanwhile: whoever ended the sessions may not have seen this one.
  if (state() == PartitionState::Revoked) {
    if (const auto session = sessions_.take(*shown, connection)) close(session);
    *shown = CK_INVALID_HANDLE;
    return CKR_TOKEN_NOT_PRESENT;
  }
  return CKR_OK;
}

CK_RV ServedToken::executeInSession(Call& call, std::uint64_t connection) {
  if (call.fn == Fn::CloseSession) {
    const auto session = sessions_.take(call.session(), connection);
    return session == nullptr || session->token != this ? CK_RV{CKR_SESSION_HANDLE_INVALID} : close(session);
  }
  const auto session = sessions_.find(call.session(), connection);
  if (session == nullptr || session->token != this) return CKR_SESSION_HANDLE_INVALID;
  base::Lock alone(session->busy);
  if (session->own == CK_INVALID_HANDLE) return CKR_SESSION_HANDLE_INVALID;
  if (ended_.load(std::memory_order_acquire) && needsLogin(call.fn)) return CKR_USER_NOT_LOGGED_IN;
  call.setSession(session->own);
  switch (call.fn) {
    case Fn::Login:
    case Fn::LoginUser:
      return login(call);
    case Fn::Logout:
      return logout(call);
    default: {
      const CK_RV rv = invoke(call);
      return ended_.load(std::memory_order_acquire) ? afterEnd(call, rv) : rv;
    }
  }
}

// The login has ended, perhaps under the call, though the module may not have been told yet: modules meet that with any
// error, and find less than there is.
CK_RV ServedToken::afterEnd(const Call& call, CK_RV rv) const {
  if (call.fn == Fn::GetSessionInfo) {
    auto* const info = call.get<CK_SESSION_INFO*>(1);
    if (rv == CKR_OK && info != nullptr && info->state == CKS_RO_USER_FUNCTIONS) info->state = CKS_RO_PUBLIC_SESSION;
    if (rv == CKR_OK && info != nullptr && info->state == CKS_RW_USER_FUNCTIONS) info->state = CKS_RW_PUBLIC_SESSION;
    return rv;
  }
  const bool isSearch = call.fn == Fn::FindObjectsInit || call.fn == Fn::FindObjects;
  const bool holds = rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && !isSearch);
  return holds || !needsLogin(call.fn) ? rv : CK_RV{CKR_USER_NOT_LOGGED_IN};
}

CK_RV ServedToken::close(const ServedSessionPtr& session) {
  base::Lock alone(session->busy);
  return closeInModule(std::exchange(session->own, CK_INVALID_HANDLE));
}

CK_RV ServedToken::openInModule(CK_FLAGS flags, CK_SESSION_HANDLE& session) {
  {
    base::Lock lock(applying_);
    ++there_;
  }
  const CK_RV rv = invoke(makeCall<Fn::OpenSession>(slot_, flags, CK_VOID_PTR{nullptr}, CK_NOTIFY{nullptr}, &session));
  if (rv != CKR_OK) isOut();
  return rv;
}

CK_RV ServedToken::closeInModule(CK_SESSION_HANDLE session) {
  const CK_RV rv = invoke(makeCall<Fn::CloseSession>(session));
  // Otherwise the module may have it still, and the login with it.
  if (rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED) isOut();
  return rv;
}

// A session that the module does not have any more.
void ServedToken::isOut() {
  base::Lock lock(applying_);
  if (--there_ != 0) return;
  // The token has forgotten who was logged in (PKCS #11 v3.0, 5.6.4).
  user_ = kNobody;
  owed_ = wasIn_ = false;
  ended_.store(false);
}

void ServedToken::closeSessionsOf(std::uint64_t connection) {
  for (const auto& session : sessions_.takeAllOf(connection)) session->token->close(session);
}

CK_RV ServedToken::login(Call& call) {
  base::Lock turn(loggingIn_);
  const auto user = call.get<CK_USER_TYPE>(1);
  // Activation is what lets users in; the Security Officer is no user.
  if (user != CKU_SO && state() == PartitionState::Deactivated) return CKR_USER_NOT_LOGGED_IN;
  // Whom the appliance has logged out is not let in by what is left of the login before.
  if (const CK_RV rv = endLogin(); rv != CKR_OK) return rv;
  std::uint64_t before = 0;
  {
    base::Lock lock(applying_);
    before = deactivations_;
  }
  // The appliance's own PIN stands for the user's alone: anybody else brings one.
  const bool ofUser = user == CKU_USER || user == CKU_CONTEXT_SPECIFIC;
  auto own = ofUser && call.get<CK_UTF8CHAR*>(2) == nullptr ? pinOfPed() : std::nullopt;
  if (own) {
    call.set(2, own->data());
    call.set(3, CK_ULONG{own->size()});
  }
  const CK_RV rv = invoke(call);
  if (user == CKU_CONTEXT_SPECIFIC || (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN)) return rv;
  {
    base::Lock lock(applying_);
    user_ = user;
    const bool late = state() == PartitionState::Revoked ||
                      (user != CKU_SO && (deactivations_ != before || state() != PartitionState::Active));
    owed_ = wasIn_ = late;
    ended_.store(late);
    if (!late) return rv;
  }
  endLogin();
  return CKR_USER_NOT_LOGGED_IN;
}

CK_RV ServedToken::logout(const Call& call) {
  base::Lock turn(loggingIn_);
  if (const CK_RV rv = endLogin(); rv != CKR_OK) return rv;
  if (ended_.exchange(false)) return CKR_USER_NOT_LOGGED_IN;
  const CK_RV rv = invoke(call);
  if (rv != CKR_OK && rv != CKR_USER_NOT_LOGGED_IN) return rv;
  base::Lock lock(applying_);
  user_ = kNobody;
  owed_ = wasIn_ = false;
  ended_.store(false);
  return rv;
}

bool ServedToken::apply(PartitionState fresh, std::uint64_t deactivations) {
  base::Lock lock(applying_);
  const PartitionState before = state_.exchange(fresh);
  const bool again = std::exchange(deactivations_, deactivations) != deactivations;
  const bool revoked = before != fresh && fresh == PartitionState::Revoked;
  // Of a user, perhaps, of whom only the module knows.
  if (there_ != 0 && (revoked || (again && user_ != CKU_SO))) {
    owed_ = true;
    wasIn_ = wasIn_ || user_ != kNobody || ended_.load();
    ended_.store(true);
  }
  return again || revoked;
}

void ServedToken::follow() {
  if (state() == PartitionState::Revoked) {
    for (const auto& session : sessions_.takeAllOf(*this)) close(session);
    return;
  }
  base::Lock turn(loggingIn_);
  endLogin();
}

// If it is owed; in a session of its own, as all others may be at work. Where the module refuses, it stays owed.
CK_RV ServedToken::endLogin() {
  std::uint64_t before = 0;
  {
    base::Lock lock(applying_);
    if (!owed_) return CKR_OK;
    before = deactivations_;
  }
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CK_RV rv = openInModule(CKF_SERIAL_SESSION | CKF_RW_SESSION, session);
  if (rv == CKR_TOKEN_WRITE_PROTECTED) rv = openInModule(CKF_SERIAL_SESSION, session);
  if (rv != CKR_OK) return rv;
  rv = invoke(makeCall<Fn::Logout>(session));
  if (rv == CKR_OK || rv == CKR_USER_NOT_LOGGED_IN) {
    base::Lock lock(applying_);
    user_ = kNobody;
    // There was nothing to end, and nobody has to hear of it.
    if (rv != CKR_OK && !wasIn_ && deactivations_ == before) ended_.store(false);
    owed_ = wasIn_ = false;
    rv = CKR_OK;
  }
  closeInModule(session);
  return rv;
}

}  // namespace p11ha::transport
