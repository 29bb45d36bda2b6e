// A member whose answers a test writes: a small token in memory, and a script that may answer before it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cryptoki/member.h"
#include "cryptoki/template.h"

namespace p11ha::tests {

/// One thread (calls may nest: a script may make calls on the same member). The token knows sessions, one user's login,
/// searches, attributes, objects that are made and destroyed, and signatures that tell who made them: they are
/// "SERIAL signed DATA", and every key verifies every one of them. It answers CKR_OPERATION_NOT_INITIALIZED to a C_Sign
/// without its Init, CKR_SESSION_HANDLE_INVALID to a session it does not know, CKR_USER_NOT_LOGGED_IN to the use of a
/// private key by nobody.
class ScriptedMember final : public cryptoki::Member {
 public:
  /// Answers a call in the token's place; nothing: the token answers.
  using Script = std::function<std::optional<cryptoki::Outcome>(const cryptoki::Call&)>;

  struct Made {
    cryptoki::Fn fn{};
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;  // of a call of route Session
  };

  explicit ScriptedMember(std::string serial, std::string pin = "sesame");

  const std::string& serial() const override { return serial_; }
  CK_RV attach() override;
  cryptoki::Standing standing() const override { return stands; }
  cryptoki::Outcome execute(const cryptoki::Call& call) override;

  /// Puts an object there; the same on several members is the same object.
  CK_OBJECT_HANDLE put(cryptoki::Template object);
  /// Gives every object another handle, as a module does that was loaded anew.
  void renumber();
  /// Ends sessions and login, as a restart does.
  void restart();
  /// Ends the login only, as an administrator does who deactivates the token.
  void deactivate() { user_.reset(); }
  bool loggedIn() const { return user_.has_value(); }
  bool hasSession(CK_SESSION_HANDLE session) const { return sessions_.contains(session); }
  std::size_t openSessions() const { return sessions_.size(); }
  std::size_t objectCount() const { return objects_.size(); }
  /// What initialising it anew does, or what nobody was told of.
  void loseObjects() { objects_.clear(); }
  std::size_t objectsLabelled(const std::string& label) const;

  Script script;
  CK_RV attachRv = CKR_OK;
  cryptoki::Standing stands = cryptoki::Standing::Active;  // nobody logs in unless Active
  std::optional<cryptoki::Outcome> down;                   // what everything answers, attach() too
  std::string pin;
  CK_FLAGS tokenFlags = CKF_RNG | CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED;
  std::vector<CK_MECHANISM_TYPE> mechanisms = {CKM_RSA_PKCS, CKM_ECDSA};
  CK_MECHANISM_INFO mechanismInfo{1024, 4096, CKF_SIGN | CKF_VERIFY};

  /// Every call, scripted or not; attach() is counted apart.
  std::vector<Made> made;
  std::size_t attaches = 0;
  std::size_t count(cryptoki::Fn fn) const;

 private:
  struct Session {
    CK_FLAGS flags = 0;
    bool searching = false;
    std::vector<CK_OBJECT_HANDLE> found;
    bool signing = false;
    bool verifying = false;
    std::string fed;
  };

  CK_RV answer(const cryptoki::Call& call);
  CK_RV inSession(const cryptoki::Call& call, Session& session);
  CK_RV login(const cryptoki::Call& call);
  CK_RV readAttributes(const cryptoki::Call& call) const;
  CK_RV sign(const cryptoki::Call& call, Session& session);
  CK_RV beginWithKey(const cryptoki::Call& call, bool& active) const;
  bool visible(const cryptoki::Template& object) const;
  const cryptoki::Template* find(CK_OBJECT_HANDLE handle) const;

  const std::string serial_;
  std::map<CK_SESSION_HANDLE, Session> sessions_;
  std::map<CK_OBJECT_HANDLE, cryptoki::Template> objects_;
  std::optional<CK_USER_TYPE> user_;
  CK_SESSION_HANDLE lastSession_;
  CK_OBJECT_HANDLE lastObject_;
  unsigned random_ = 0;
};

/// An RSA key pair's private key: a private token object that every member can prove to be the same.
cryptoki::Template privateKey(const std::string& label);
/// A data object on the token, its value made of the label.
cryptoki::Template dataObject(const std::string& label, bool isPrivate);

}  // namespace p11ha::tests
