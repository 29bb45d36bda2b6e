// One token that several slots of this process show (HAOnly = 0: a group and its members' own slots), with a login of
// each slot's own.
#pragma once

#include <atomic>
#include <map>
#include <memory>

#include "base/mutex.h"
#include "base/secure_bytes.h"
#include "cryptoki/member.h"

namespace p11ha::compose {

class ViewMember;

/// Who is logged in to a token. A module knows one login for the whole process: it takes any PIN once somebody is
/// logged in, and one logout logs everybody out (DESIGN.md, "Login and sessions"). Shared by the token's views, which
/// it outlives. Any thread.
class SharedLogin {
 public:
  explicit SharedLogin(std::shared_ptr<cryptoki::Member> token) : token_(std::move(token)) {}

  cryptoki::Member& token() { return *token_; }

  /// C_Login and C_LoginUser of a view.
  cryptoki::Outcome login(ViewMember& view, const cryptoki::Call& call) P11HA_EXCLUDES(mutex_);
  cryptoki::Outcome logout(ViewMember& view, const cryptoki::Call& call) P11HA_EXCLUDES(mutex_);
  cryptoki::Outcome setPin(const cryptoki::Call& call) P11HA_EXCLUDES(mutex_);

  void join(ViewMember& view) P11HA_EXCLUDES(mutex_);
  void leave(ViewMember& view) P11HA_EXCLUDES(mutex_);

 private:
  static constexpr CK_USER_TYPE kNobody = CK_UNAVAILABLE_INFORMATION;

  CK_USER_TYPE present() const P11HA_REQUIRES(mutex_);
  void restrictViews() P11HA_REQUIRES(mutex_);

  const std::shared_ptr<cryptoki::Member> token_;
  // Held across the token's login calls: who is logged in must not change between asking and noting it.
  base::Mutex mutex_;
  std::map<ViewMember*, CK_USER_TYPE> views_ P11HA_GUARDED_BY(mutex_);
  std::unique_ptr<base::SecretPage> pin_ P11HA_GUARDED_BY(mutex_);  // the one the token took
};

/// A slot's view of the token: like the token itself, but with a login of its own. A view that is not logged in while
/// another is sees no private object. Owned by the slot's group. Any thread.
class ViewMember final : public cryptoki::Member {
 public:
  explicit ViewMember(std::shared_ptr<SharedLogin> login);
  ~ViewMember() override;
  ViewMember(const ViewMember&) = delete;
  ViewMember& operator=(const ViewMember&) = delete;

  const std::string& serial() const override { return login_->token().serial(); }
  CK_RV attach() override { return login_->token().attach(); }
  std::string problem() const override { return login_->token().problem(); }
  cryptoki::Standing standing() const override { return login_->token().standing(); }
  cryptoki::Outcome execute(const cryptoki::Call& call) override;

 private:
  friend class SharedLogin;

  cryptoki::Outcome asPublic(const cryptoki::Call& call);
  bool isPrivate(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object);
  void leaveOutPrivate(const cryptoki::Call& call);
  cryptoki::Outcome makePublicOnly(const cryptoki::Call& call);

  const std::shared_ptr<SharedLogin> login_;
  std::atomic<bool> restricted_{false};  // others are logged in, this view is not
};

}  // namespace p11ha::compose
