// A session of our own on a token, and the login of it.
#pragma once

#include <optional>

#include "ha/domain/on_token.h"

namespace p11ha::ha::domain {

/// A read-write session, open for as long as this lives; its session objects end with it, as does a login that was made
/// through it. A login is the whole token's (PKCS #11 v3.0, 5.6.8): whoever makes one here must be the only user of the
/// token in its process. One thread; outlived by the member.
class TokenSession {
 public:
  explicit TokenSession(cryptoki::Member& member) : member_(member) {}
  ~TokenSession();
  TokenSession(const TokenSession&) = delete;
  TokenSession& operator=(const TokenSession&) = delete;

  /// Attaches the member and opens the session, if that was not done. What attach() or C_OpenSession answered.
  cryptoki::Outcome open();
  bool isOpen() const { return session_ != CK_INVALID_HANDLE; }

  /// Logs in as CKU_USER or CKU_SO, whoever was logged in before. A PIN of which the token says that it is locked, or
  /// that the next wrong one locks it, is not given to it: CKR_PIN_LOCKED. Else what C_Login answered.
  cryptoki::Outcome login(CK_USER_TYPE user, const base::SecureBytes& pin);
  /// CKR_OK, too, where nobody is logged in. Private session objects end here.
  cryptoki::Outcome logout();

  cryptoki::Member& member() const { return member_; }
  OnToken token() const { return {member_, session_}; }

 private:
  cryptoki::Member& member_;
  CK_SESSION_HANDLE session_ = CK_INVALID_HANDLE;
  std::optional<CK_USER_TYPE> user_;
};

}  // namespace p11ha::ha::domain
