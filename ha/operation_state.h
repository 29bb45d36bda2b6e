// C_GetOperationState and C_SetOperationState (PKCS #11 v3.0, 5.6.6): a state means something to the member that saved
// it only, so it is tagged with that member's serial.
#pragma once

#include "ha/failover.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread that holds the session.
class OperationStates {
 public:
  OperationStates(Group& group, Failover& failover) : group_(group), failover_(failover) {}

  CK_RV get(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// CKR_SAVED_STATE_INVALID where the member that saved it does not serve.
  CK_RV set(Session& session, const cryptoki::Call& call, std::span<const NamedObject> keys)
      P11HA_REQUIRES(session.mutex);

 private:
  Group& group_;
  Failover& failover_;
};

}  // namespace p11ha::ha
