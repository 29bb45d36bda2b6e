// A partition in a worker: the module's token, as the appliance shows it to one application.
#pragma once

#include <memory>
#include <optional>

#include "cryptoki/local_module.h"
#include "transport/server/access.h"
#include "transport/server/sessions.h"

namespace p11ha::transport {

/// Made at the first connection that asks for it; lives as long as its worker. Any thread.
class ServedToken {
 public:
  ServedToken(std::shared_ptr<cryptoki::LocalModule> module, CK_SLOT_ID slot, const Partition& partition,
              Sessions& sessions);
  ServedToken(const ServedToken&) = delete;
  ServedToken& operator=(const ServedToken&) = delete;

  const std::string& serial() const { return serial_; }
  const std::string& label() const { return label_; }
  PartitionState state() const { return state_.load(std::memory_order_acquire); }

  /// Makes a call that came over that connection. Blocks as the module does.
  CK_RV execute(cryptoki::Call& call, std::uint64_t connection);
  /// Ends what is left of a connection that has no call in flight any more.
  void closeSessionsOf(std::uint64_t connection);

  /// How users log in from here on.
  void use(const Partition& partition) P11HA_EXCLUDES(applying_);
  /// How the partition is now for this application: in force for every call from here on. True: what the module knows
  /// must follow, by way of follow().
  bool apply(PartitionState state, std::uint64_t deactivations) P11HA_EXCLUDES(applying_);
  /// Ends the login, or the sessions, that apply() has ended. Blocks as the module does.
  void follow();

 private:
  static constexpr CK_USER_TYPE kNobody = CK_UNAVAILABLE_INFORMATION;

  CK_RV executeInSlot(cryptoki::Call& call, std::uint64_t connection);
  CK_RV executeInSession(cryptoki::Call& call, std::uint64_t connection);
  CK_RV afterEnd(const cryptoki::Call& call, CK_RV rv) const;
  CK_RV open(cryptoki::Call& call, std::uint64_t connection);
  CK_RV close(const ServedSessionPtr& session);
  CK_RV login(cryptoki::Call& call);
  CK_RV logout(const cryptoki::Call& call);
  CK_RV openInModule(CK_FLAGS flags, CK_SESSION_HANDLE& session) P11HA_EXCLUDES(applying_);
  CK_RV closeInModule(CK_SESSION_HANDLE session) P11HA_EXCLUDES(applying_);
  void isOut() P11HA_EXCLUDES(applying_);
  CK_RV endLogin() P11HA_REQUIRES(loggingIn_);
  /// Of PED: what a login without a PIN stands for.
  std::optional<base::SecureBytes> pinOfPed() const P11HA_EXCLUDES(applying_);
  CK_RV invoke(const cryptoki::Call& call) const {
    return store_ == nullptr ? cryptoki::invoke(module_->functions(), call) : store_->run(module_->functions(), call);
  }

  const std::shared_ptr<cryptoki::LocalModule> module_;
  cryptoki::SoftHsmStore* const store_;
  const CK_SLOT_ID slot_;
  const std::string serial_;
  const std::string label_;
  Sessions& sessions_;

  std::atomic<PartitionState> state_{PartitionState::Active};
  /// The appliance has logged the application out, which has neither logged in nor out since.
  std::atomic<bool> ended_{false};
  mutable base::Mutex applying_;  // within loggingIn_; never held across a call of the module
  Authentication authentication_ P11HA_GUARDED_BY(applying_);
  base::SecureBytes pedPin_ P11HA_GUARDED_BY(applying_);
  std::uint64_t deactivations_ P11HA_GUARDED_BY(applying_) = 0;
  CK_USER_TYPE user_ P11HA_GUARDED_BY(applying_) = kNobody;
  /// Sessions that the module has, or is about to have: the login is as long-lived as these.
  std::size_t there_ P11HA_GUARDED_BY(applying_) = 0;
  /// With ended_: the module does not know it yet.
  bool owed_ P11HA_GUARDED_BY(applying_) = false;
  /// With owed_: somebody was logged in.
  bool wasIn_ P11HA_GUARDED_BY(applying_) = false;
  base::Mutex loggingIn_;  // held across the module's login calls
};

/// Would a token answer this with CKR_USER_NOT_LOGGED_IN once the login has ended? Pure.
bool needsLogin(cryptoki::Fn fn);

}  // namespace p11ha::transport
