// A session of a remote member, and the Init that is held back in it.
#pragma once

#include "cryptoki/owned_mechanism.h"
#include "transport/client/attachment.h"

namespace p11ha::transport {

/// Shared by the member's table and a call that is in it. One thread at a time makes calls.
///
/// An Init that would succeed (KnownInits) is answered CKR_OK here and goes with the next call of its operation, so
/// that both cost one round trip; any other call sends it first. Held back is none in a session in which an operation
/// is active, or might be.
class RemoteSession {
 public:
  RemoteSession(std::shared_ptr<Attachment> attachment, Link& link, CK_SESSION_HANDLE handle)
      : attachment_(std::move(attachment)), link_(link), handle_(handle) {}

  /// A call of route Session. May throw std::bad_alloc, and then nothing was sent.
  cryptoki::Outcome execute(const cryptoki::Call& call, base::Monotonic deadline);

  CK_SESSION_HANDLE handle() const { return handle_; }
  Attachment& attachment() const { return *attachment_; }
  /// Past whatever is held back: for whoever does not make the session's own calls.
  cryptoki::Outcome close(const cryptoki::Call& call, base::Monotonic deadline) {
    return link_.call(call, nullptr, deadline).outcome;
  }

 private:
  using Ops = std::uint32_t;

  cryptoki::Outcome begin(const cryptoki::Call& call, const cryptoki::Function& row, base::Monotonic deadline);
  bool hold(const cryptoki::Call& call, const cryptoki::Function& row, std::uint64_t epoch);
  cryptoki::Outcome flush(base::Monotonic deadline);
  void released(CK_RV initRv);
  void learn(const cryptoki::Call& call, const cryptoki::Function& row, std::uint64_t epoch, base::Monotonic deadline);
  bool keyIsForEachUse(CK_OBJECT_HANDLE key, base::Monotonic deadline, bool& told);
  void follow(const cryptoki::Call& call, const cryptoki::Function& row, CK_RV rv);
  void over(Ops ops);
  void unclear(Ops ops);
  /// The Init in request_, without what differs from session to session.
  std::span<const std::uint8_t> init() const;

  const std::shared_ptr<Attachment> attachment_;
  Link& link_;
  const CK_SESSION_HANDLE handle_;

  bool held_ = false;
  cryptoki::Fn heldFn_{};  // of the Init held back, now or last
  cryptoki::Op heldOp_{};
  Buffer request_;  // the Init held back, or made last
  Outputs outputs_;
  cryptoki::OwnedMechanism mechanism_;  // of the Init held back, as the application's may be gone by then
  static constexpr std::uint64_t kNoEpoch = ~std::uint64_t{0};
  base::SecureBytes last_;  // the Init held back last, and when
  std::uint64_t lastEpoch_ = kNoEpoch;

  // What is known of the operations at the member, one bit each.
  Ops open_ = 0;
  Ops unclear_ = 0;     // may be active still
  bool doubt_ = false;  // some operation may be, and stand in the way of others
};

}  // namespace p11ha::transport
