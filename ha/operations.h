// Calls that begin, feed or end an operation, and those that use objects without changing any.
#pragma once

#include <array>

#include "ha/failover.h"

namespace p11ha::ha {

/// The objects that a call names, from its handles; they stay in the session (Session::recent).
class NamedObjects {
 public:
  NamedObjects(Group& group, Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

  std::span<const NamedObject> all() const { return {objects_.data(), count_}; }
  /// Only if the call names one.
  const ObjectPtr& first() const { return *objects_[0].object; }

 private:
  std::array<NamedObject, 2> objects_;
  std::size_t count_ = 0;
};

/// Copies the call's mechanism, if it has one, and lets `naming` point to the copy if its parameter names objects.
/// CKR_MECHANISM_PARAM_INVALID: the parameter is not understood, so that handles in it could go to the wrong key.
CK_RV noteMechanism(const cryptoki::Call& call, cryptoki::OwnedMechanism& copy,
                    const cryptoki::OwnedMechanism*& naming);

/// Owned by the VirtualToken. Any thread that holds the session.
class Operations {
 public:
  Operations(Group& group, Failover& failover) : group_(group), failover_(failover) {}

  /// C_...Init. Noted, so that it can be run again on another member.
  CK_RV begin(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// C_Sign and its kin, C_...Update, C_...Final, dual and message functions.
  CK_RV proceed(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// C_SessionCancel (PKCS #11 v3.0, 5.6.10).
  CK_RV cancel(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// C_Login(CKU_CONTEXT_SPECIFIC), or C_LoginUser likewise: for the operation that was begun last, on its member; kept
  /// to be given again after its Init.
  CK_RV authenticate(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// A call that stands alone: attributes, random, wrap. Whatever the session has active elsewhere is no matter.
  CK_RV once(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

 private:
  void take(Session& session, const cryptoki::Call& call, const NamedObjects& named, cryptoki::Op op)
      P11HA_REQUIRES(session.mutex);

  Group& group_;
  Failover& failover_;
};

}  // namespace p11ha::ha
