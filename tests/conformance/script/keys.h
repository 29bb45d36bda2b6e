// The objects that scripts work on, the same in each module.
#pragma once

#include <map>

#include "tests/conformance/script/client.h"

namespace p11ha::conformance {

/// Everything but CKA_TOKEN, CKA_PRIVATE, CKA_LABEL and what they may be used for.
namespace material {
Attributes data();
Attributes certificate();
Attributes secret(CK_KEY_TYPE type, const Bytes& value);
Attributes rsaPublic();
Attributes rsaPrivate();
Attributes p256Public();
Attributes p256Private();
Attributes ed25519Public();
Attributes ed25519Private();
Attributes dsaPublic();
Attributes dsaPrivate();
Attributes dhPublic();
Attributes dhPrivate();
}  // namespace material

/// CKA_LABEL and CKA_ID, CKA_PRIVATE false (so that it outlives a logout), and for keys of the class in question all
/// that they can be used for; not sensitive, extractable.
Attributes usable(Attributes object, const std::string& label, bool token = false);

/// Named objects, made on first use. Session objects belong to the session given. One thread.
class Keys {
 public:
  Keys(Client& client, CK_SESSION_HANDLE session, bool token) : client_(client), session_(session), token_(token) {}

  /// "data", "certificate", "aes", "aes 2", "des", "des2", "des3", "generic", and "rsa", "p256", "ed25519", "dsa", "dh"
  /// each with " public" and " private".
  CK_OBJECT_HANDLE operator[](const std::string& name);
  /// Makes all of these now.
  void makeAll();
  /// Looks for all of them by their labels, in another session: a module may forget handles when the last one is
  /// closed.
  void findAgain(CK_SESSION_HANDLE session);

 private:
  Client& client_;
  CK_SESSION_HANDLE session_;
  const bool token_;
  std::map<std::string, CK_OBJECT_HANDLE> made_;
};

/// The template of one of these, as Keys gives it.
Attributes objectNamed(const std::string& name, bool token);

}  // namespace p11ha::conformance
