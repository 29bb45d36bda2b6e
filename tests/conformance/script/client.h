// An application as the scripts write it: every call it makes is recorded.
#pragma once

#include <string>

#include "tests/conformance/record/recorder.h"
#include "tests/conformance/script/prepared.h"

namespace p11ha::conformance {

/// Which token, and what opens it.
struct TokenAccess {
  std::string label;
  std::string pin;
  std::string soPin;
  std::string reserved;  // for C_Initialize, as NSS softokn wants it; empty: none
};

/// One thread.
class Client {
 public:
  Client(Recorder& recorder, TokenAccess access) : recorder_(recorder), access_(std::move(access)) {}

  CK_RV call(const Prepared& prepared) { return recorder_.call(prepared.call, prepared.note); }
  template <cryptoki::Fn F, class... Args>
  CK_RV call(const Note& note, Args... args) {
    return recorder_.call(cryptoki::makeCall<F>(args...), note);
  }
  void section(const std::string& name) { recorder_.section(name); }
  bool has(cryptoki::Fn fn) const { return recorder_.module().has(fn); }

  /// C_Initialize, and finding the slot of the token: throws std::runtime_error when that fails, since there is nothing
  /// to compare then.
  void begin();
  void initialize();
  /// What C_Initialize is to be given for this module in any case; NULL for most.
  CK_CHAR_PTR* libraryParameters() {
    return reserved_.empty() ? nullptr : reinterpret_cast<CK_CHAR_PTR*>(reserved_.data());
  }
  CK_SLOT_ID slot() const { return slot_; }
  const TokenAccess& access() const { return access_; }

  CK_SESSION_HANDLE open(const std::string& name, bool writable = true);
  void close(CK_SESSION_HANDLE session) { call<cryptoki::Fn::CloseSession>({}, session); }
  CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user = CKU_USER);
  CK_RV logout(CK_SESSION_HANDLE session) { return call<cryptoki::Fn::Logout>({}, session); }

  /// CK_INVALID_HANDLE when the module refused.
  CK_OBJECT_HANDLE create(CK_SESSION_HANDLE session, const std::string& name, const Attributes& object);

 private:
  void findToken();

  Recorder& recorder_;
  const TokenAccess access_;
  std::string reserved_ = access_.reserved;  // not constant, as C has it
  CK_SLOT_ID slot_ = 0;
};

}  // namespace p11ha::conformance
