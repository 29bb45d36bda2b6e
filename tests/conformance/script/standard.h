// Arguments with which each function works, where it can.
#pragma once

#include "tests/conformance/script/keys.h"

namespace p11ha::conformance {

/// Makes calls of any function from the roles of its arguments. The objects are public, so that the calls work whoever
/// is logged in. One thread.
class Standard {
 public:
  Standard(Client& client, Keys& keys) : client_(client), keys_(keys) {}

  /// Asks the module for what other calls need as input: a ciphertext, a signature, a wrapped key.
  void prepare(CK_SESSION_HANDLE session);

  /// All but C_Initialize and C_Finalize, which end what the others need. C_InitToken is the last: a module may obey,
  /// and nothing is on the token then.
  static std::vector<cryptoki::Fn> functions();

  Prepared of(cryptoki::Fn fn, CK_SESSION_HANDLE session);

  /// The call that begins the operation, if there is such a function (every Op but None has one).
  static cryptoki::Fn beginning(cryptoki::Op op);
  /// The call that gives an operation its first data; nullptr where it takes it in one part only.
  static const cryptoki::Fn* feeding(cryptoki::Op op);
  /// The calls that complete an operation: C_...Final, or C_Sign and its like.
  static cryptoki::Fn completing(cryptoki::Op op, bool fed);

  /// Brings a session there; false if a call was refused.
  bool establish(CK_SESSION_HANDLE session, cryptoki::Op op, bool fed);
  /// One call that tells how an operation is, after something else was called: completes it.
  CK_RV complete(CK_SESSION_HANDLE session, cryptoki::Op op, bool fed, const std::string& situation);

  Keys& keys() { return keys_; }

 private:
  void argument(Prepared& prepared, const cryptoki::Argument& argument, CK_SESSION_HANDLE session);
  void bytesIn(Prepared& prepared, std::size_t word);
  CK_OBJECT_HANDLE keyFor(cryptoki::Fn fn);
  MechanismSpec mechanismFor(cryptoki::Fn fn) const;
  Attributes templateFor(const Prepared& prepared, std::size_t word) const;
  Bytes dataFor(cryptoki::Fn fn, bool second) const;

  Client& client_;
  Keys& keys_;
  Bytes ciphertext_;
  Bytes signature_;
  Bytes recoverable_;
  Bytes wrapped_;
};

}  // namespace p11ha::conformance
