// Calls that a member cannot make just now.
#pragma once

#include "cryptoki/member.h"

namespace p11ha::ha {

/// More tries of what a member answered like a broken one though it is well. SoftHSM 2.6.1 answers CKR_GENERAL_ERROR to
/// C_CreateObject while another session searches (43 of 1,500 beside one that does nothing else, as long as nobody made
/// such calls alone: cryptoki/softhsm_store.h), and has then made no more than a nameless object with CKA_TOKEN false;
/// nothing tells when it could make the other. Other processes may still be in its way. Owned by who makes the calls;
/// one thread.
class Repetition {
 public:
  /// `most`: of all calls together, so that one that is always answered so costs no more.
  explicit Repetition(int most) : left_(most) {}

  /// After that answer in that session: waits a moment and is true, or is false where another try is of no use. Asks
  /// the member how it is.
  bool isWorthIt(cryptoki::Member& member, CK_SESSION_HANDLE session, CK_RV rv);

 private:
  int left_;
};

}  // namespace p11ha::ha
