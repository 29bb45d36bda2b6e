// How a key gets from the member that made it to another: by RSA-OAEP, from token to token (CLONING.md, "Making and
// handing over").
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "ha/domain/on_token.h"

namespace p11ha::ha::domain {

/// Told of each object that there is for the time of a hand-over: whoever shows objects to an application hides them.
struct Concealment {
  std::function<void(CK_OBJECT_HANDLE)> made = [](CK_OBJECT_HANDLE) {};
  std::function<void(CK_OBJECT_HANDLE)> gone = [](CK_OBJECT_HANDLE) {};
};

/// The taker's RSA pair, for one hand-over: session objects, which end with the session at the latest. Owned by one
/// thread; outlived by the session.
class HandOverPair {
 public:
  /// `isPrivate`: only the user, who is logged in, can use the private key. Else whatever else runs in this process
  /// could, which it takes where the Security Officer makes it, or it is to outlive a change of who is logged in.
  HandOverPair(const OnToken& token, bool isPrivate, Concealment concealment = {})
      : token_(token), isPrivate_(isPrivate), concealment_(std::move(concealment)) {}
  ~HandOverPair();
  HandOverPair(const HandOverPair&) = delete;
  HandOverPair& operator=(const HandOverPair&) = delete;

  /// Nothing on success.
  std::optional<Problem> make();
  /// The public key, for the giver: for C_CreateObject.
  const cryptoki::Template& material() const { return material_; }
  /// Makes what was handed over an object of the template. CKM_RSA_PKCS_OAEP with SHA-1, which is all that SoftHSM
  /// 2.6.1 has.
  cryptoki::Outcome take(base::SecureBytes& handedOver, const cryptoki::Template& wanted, CK_OBJECT_HANDLE& made);

 private:
  const OnToken token_;
  const bool isPrivate_;
  const Concealment concealment_;
  CK_OBJECT_HANDLE publicKey_ = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE privateKey_ = CK_INVALID_HANDLE;
  cryptoki::Template material_;
};

/// Wraps keys of the giver's session to that public key. `trusted`: the public key is made TRUSTED there, for which the
/// Security Officer must be logged in, so that it may wrap keys that want a trusted one. It is gone afterwards.
base::Result<std::vector<base::SecureBytes>, Problem> handOver(const OnToken& giver,
                                                               std::span<const CK_OBJECT_HANDLE> keys,
                                                               const cryptoki::Template& material, bool trusted,
                                                               const Concealment& concealment = {});

}  // namespace p11ha::ha::domain
