// What the application logged in with: the verdict of C_Login, and the PIN for members that come later.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/secure_bytes.h"
#include "cryptoki/pkcs11.h"

namespace p11ha::ha {

/// A copy of the credentials, wiped with it.
struct Credentials {
  CK_USER_TYPE userType = CKU_USER;
  bool pinGiven = true;  // false: protected authentication path, C_Login with a NULL PIN
  base::SecureBytes pin;
  std::string userName;  // C_LoginUser's; empty: C_Login
  std::uint64_t generation = 0;
};

/// Any thread. The PIN is kept on pages of its own (base::SecretPage).
class LoginState {
 public:
  static constexpr CK_USER_TYPE kNobody = CK_UNAVAILABLE_INFORMATION;

  /// Counts logins and logouts: a member that was told of the present one has the same number. 0: never logged in.
  std::uint64_t generation() const { return generation_.load(std::memory_order_seq_cst); }
  /// kNobody, CKU_USER or CKU_SO.
  CK_USER_TYPE user() const { return user_.load(std::memory_order_acquire); }

  void loggedIn(CK_USER_TYPE userType, const CK_UTF8CHAR* pin, CK_ULONG length, std::string userName = {})
      P11HA_EXCLUDES(mutex_);
  /// The same user's PIN is another now.
  void pinChanged(const CK_UTF8CHAR* pin, CK_ULONG length) P11HA_EXCLUDES(mutex_);
  void loggedOut() P11HA_EXCLUDES(mutex_);
  std::optional<Credentials> credentials() const P11HA_EXCLUDES(mutex_);

 private:
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<CK_USER_TYPE> user_{kNobody};
  mutable base::Mutex mutex_;
  bool pinGiven_ P11HA_GUARDED_BY(mutex_) = false;
  std::unique_ptr<base::SecretPage> pin_ P11HA_GUARDED_BY(mutex_);
  std::string userName_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::ha
