// C_FindObjects: answered whole at C_FindObjectsInit, from the primary, plus what only other active members hold.
#pragma once

#include "ha/failover.h"
#include "ha/key_records.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread that holds the session.
class Searches {
 public:
  Searches(Group& group, Catalog& catalog, KeyRecords& records, Failover& failover)
      : group_(group), catalog_(catalog), records_(records), failover_(failover) {}

  CK_RV begin(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  CK_RV next(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  CK_RV end(Session& session) P11HA_REQUIRES(session.mutex);

 private:
  /// What a member finds, in its own handles.
  struct Found {
    std::vector<CK_OBJECT_HANDLE> asked;
    // Of TruthSearch.
    std::vector<CK_OBJECT_HANDLE> apart;
    std::vector<CK_OBJECT_HANDLE> sealed;
    std::vector<CK_OBJECT_HANDLE> ofLength;
  };

  /// What the primary finds; CKR_OK or the answer for the application. `member`: who answered.
  CK_RV ask(Session& session, const cryptoki::Call& init, TruthSearch* search, Found& found, GroupMember*& member)
      P11HA_REQUIRES(session.mutex);
  /// Finds what the member may hold otherwise than it is read, by further searches on it, the last of which stays open
  /// in place of the first.
  CK_RV lookFurther(Session& session, GroupMember& member, std::uint32_t epoch, TruthSearch& search, Found& found)
      P11HA_REQUIRES(session.mutex);
  CK_RV again(Session& session, GroupMember& member, std::uint32_t epoch, cryptoki::Template& query,
              std::vector<CK_OBJECT_HANDLE>& found) P11HA_REQUIRES(session.mutex);
  /// The objects among it that the application means.
  std::vector<ObjectPtr> meant(const GroupMember& member, const TruthSearch* search, const Found& found) const;
  CK_RV admitted(Session& session, const cryptoki::Call& init) P11HA_REQUIRES(session.mutex);
  /// Ends the member's own search.
  CK_RV close(Session& session, GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(session.mutex);
  CK_RV drain(Session& session, GroupMember& member, std::uint32_t epoch, std::vector<CK_OBJECT_HANDLE>& found)
      P11HA_REQUIRES(session.mutex);
  void add(Session& session, const ObjectPtr& object) P11HA_REQUIRES(session.mutex);
  void addOnlyElsewhere(Session& session, const cryptoki::Call& init, TruthSearch* search, const GroupMember& asked)
      P11HA_REQUIRES(session.mutex);

  Group& group_;
  Catalog& catalog_;
  KeyRecords& records_;
  Failover& failover_;
};

}  // namespace p11ha::ha
