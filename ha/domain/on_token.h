// Calls made in one session of a token, as domains need them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secure_bytes.h"
#include "cryptoki/member.h"
#include "cryptoki/template.h"

namespace p11ha::ha::domain {

/// Why something could not be done, ready to be shown, and what the member answered (CKR_OK: it was not asked).
struct Problem {
  std::string text;
  cryptoki::Outcome outcome;
};

/// "C_WrapKey answers CKR_KEY_NOT_WRAPPABLE": of a call that did not answer CKR_OK.
Problem answered(const std::string& what, const cryptoki::Outcome& outcome);

/// A session somebody else owns and keeps open. Borrows both; cheap to copy; the thread that may use the session. The
/// outcomes are the member's, and blocking is as its calls do.
struct OnToken {
  cryptoki::Member& member;
  CK_SESSION_HANDLE session;

  cryptoki::Outcome generateKey(CK_MECHANISM_TYPE type, cryptoki::Template wanted, CK_OBJECT_HANDLE& made) const;
  cryptoki::Outcome generatePair(CK_MECHANISM_TYPE type, cryptoki::Template forPublic, cryptoki::Template forPrivate,
                                 CK_OBJECT_HANDLE& publicKey, CK_OBJECT_HANDLE& privateKey) const;
  cryptoki::Outcome create(cryptoki::Template wanted, CK_OBJECT_HANDLE& made) const;
  cryptoki::Outcome copy(CK_OBJECT_HANDLE object, cryptoki::Template changes, CK_OBJECT_HANDLE& made) const;
  cryptoki::Outcome change(CK_OBJECT_HANDLE object, cryptoki::Template changes) const;
  cryptoki::Outcome destroy(CK_OBJECT_HANDLE object) const;
  cryptoki::Outcome wrap(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key,
                         base::SecureBytes& wrapped) const;
  cryptoki::Outcome unwrap(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE with, base::SecureBytes& wrapped,
                           cryptoki::Template wanted, CK_OBJECT_HANDLE& made) const;
  /// As cryptoki::readAttributes.
  cryptoki::Outcome read(CK_OBJECT_HANDLE object, std::span<const CK_ATTRIBUTE_TYPE> types,
                         cryptoki::Template& out) const;
  /// CKR_MECHANISM_INVALID where it is not offered.
  cryptoki::Outcome mechanismInfo(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO& info) const;
};

}  // namespace p11ha::ha::domain
