// Calls that begin, feed or end an operation, and those that use objects without changing any.
#pragma once

#include <array>

#include "ha/failover.h"

namespace p11ha::ha {

/// The objects that a call names, from its handles.
class NamedObjects {
 public:
  NamedObjects(Group& group, Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

  std::span<const NamedObject> all() const { return {objects_.data(), count_}; }
  const ObjectPtr& first() const { return objects_[0].object; }

 private:
  std::array<NamedObject, 2> objects_;
  std::size_t count_ = 0;
};

/// The object of a virtual handle, null if there is none; spares the table where the session used it last.
ObjectPtr findObject(Group& group, Session& session, CK_OBJECT_HANDLE handle) P11HA_REQUIRES(session.mutex);

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
  /// C_Login(CKU_CONTEXT_SPECIFIC): for the operation that is active, on its member and nowhere else.
  CK_RV authenticate(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// A call that stands alone: attributes, random, wrap.
  CK_RV once(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

 private:
  Group& group_;
  Failover& failover_;
};

}  // namespace p11ha::ha
