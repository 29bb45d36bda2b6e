// C_FindObjects: answered whole at C_FindObjectsInit, from the primary, plus what only other active members hold.
#pragma once

#include "ha/failover.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread that holds the session.
class Searches {
 public:
  Searches(Group& group, Catalog& catalog, Failover& failover)
      : group_(group), catalog_(catalog), failover_(failover) {}

  CK_RV begin(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  CK_RV next(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  CK_RV end(Session& session) P11HA_REQUIRES(session.mutex);

 private:
  /// The primary's own handles; CKR_OK or the answer for the application. `member`: who answered.
  CK_RV ask(Session& session, const cryptoki::Call& init, std::vector<CK_OBJECT_HANDLE>& found, GroupMember*& member)
      P11HA_REQUIRES(session.mutex);
  CK_RV admitted(Session& session, const cryptoki::Call& init) P11HA_REQUIRES(session.mutex);
  /// Ends the member's own search.
  CK_RV close(Session& session, GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(session.mutex);
  CK_RV drain(Session& session, GroupMember& member, std::uint32_t epoch, std::vector<CK_OBJECT_HANDLE>& found)
      P11HA_REQUIRES(session.mutex);
  void add(Session& session, const ObjectPtr& object) P11HA_REQUIRES(session.mutex);
  void addOnlyElsewhere(Session& session, const cryptoki::Call& init, const GroupMember& asked)
      P11HA_REQUIRES(session.mutex);

  Group& group_;
  Catalog& catalog_;
  Failover& failover_;
};

}  // namespace p11ha::ha
