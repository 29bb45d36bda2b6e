#include "transport/server/served_token.h"

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
      slot_(slot),
      serial_(partition.serial),
      label_(partition.label),
      authentication_(partition.authentication),
      pedPin_(partition.pedPin),
      sessions_(sessions) {}

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
      if (auto* const info = call.get<CK_TOKEN_INFO*>(1);
          rv == CKR_OK && info != nullptr && authentication_ == Authentication::Ped)
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
  const CK_RV rv =
      invoke(makeCall<Fn::OpenSession>(slot_, call.get<CK_FLAGS>(1), CK_VOID_PTR{nullptr}, CK_NOTIFY{nullptr}, &own));
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
    default:
      return invoke(call);
  }
}

CK_RV ServedToken::close(const ServedSessionPtr& session) {
  base::Lock alone(session->busy);
  const CK_RV rv = invoke(makeCall<Fn::CloseSession>(session->own));
  session->own = CK_INVALID_HANDLE;
  // The token has forgotten who was logged in (PKCS #11 v3.0, 5.6.4).
  if (sessions_.countOf(*this) == 0) {
    user_.store(kNobody);
    ended_.store(false);
  }
  return rv;
}

void ServedToken::closeSessionsOf(std::uint64_t connection) {
  for (const auto& session : sessions_.takeAllOf(connection)) session->token->close(session);
}

CK_RV ServedToken::login(Call& call) {
  base::Lock turn(loggingIn_);
  const auto user = call.get<CK_USER_TYPE>(1);
  const std::uint64_t before = deactivations_.load();
  // Activation is what lets users in; the Security Officer is no user.
  if (user != CKU_SO && state() == PartitionState::Deactivated) return CKR_USER_NOT_LOGGED_IN;
  // The appliance's own PIN stands for the user's alone: anybody else brings one.
  const bool ofUser = user == CKU_USER || user == CKU_CONTEXT_SPECIFIC;
  if (authentication_ == Authentication::Ped && ofUser && call.get<CK_UTF8CHAR*>(2) == nullptr) {
    call.set(2, pedPin_.data());
    call.set(3, CK_ULONG{pedPin_.size()});
  }
  const CK_RV rv = invoke(call);
  if (user == CKU_CONTEXT_SPECIFIC || rv != CKR_OK) return rv;
  user_.store(user);
  ended_.store(false);
  if (user != CKU_SO && (deactivations_.load() != before || state() != PartitionState::Active)) {
    endLogin();
    return CKR_USER_NOT_LOGGED_IN;
  }
  return rv;
}

CK_RV ServedToken::logout(const Call& call) {
  base::Lock turn(loggingIn_);
  if (ended_.exchange(false)) return CKR_USER_NOT_LOGGED_IN;
  user_.store(kNobody);
  return invoke(call);
}

bool ServedToken::apply(PartitionState fresh, std::uint64_t deactivations) {
  base::Lock lock(applying_);
  const PartitionState before = state_.exchange(fresh);
  const bool again = deactivations_.exchange(deactivations) != deactivations;
  const CK_USER_TYPE user = user_.load();
  if (again && user != kNobody && user != CKU_SO) ended_.store(true);
  return again || (before != fresh && fresh == PartitionState::Revoked);
}

void ServedToken::follow() {
  if (state() == PartitionState::Revoked) {
    for (const auto& session : sessions_.takeAllOf(*this)) close(session);
    return;
  }
  base::Lock turn(loggingIn_);
  if (ended_.load()) endLogin();
}

// In a session of its own: all others may be at work.
void ServedToken::endLogin() {
  ended_.store(true);
  user_.store(kNobody);
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  if (invoke(makeCall<Fn::OpenSession>(slot_, CK_FLAGS{CKF_SERIAL_SESSION | CKF_RW_SESSION}, CK_VOID_PTR{nullptr},
                                       CK_NOTIFY{nullptr}, &session)) != CKR_OK)
    return;
  invoke(makeCall<Fn::Logout>(session));
  invoke(makeCall<Fn::CloseSession>(session));
}

}  // namespace p11ha::transport
