// Calls that make, change or end objects: on the primary first, whose answer is the application's, then on every other
// active member before that answer is given ("Making a key" in CLONING.md).
#pragma once

#include "ha/cloning.h"
#include "ha/operations.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread that holds the session.
class KeyManagement {
 public:
  KeyManagement(Group& group, Catalog& catalog, Cloner& cloner, Failover& failover)
      : group_(group), catalog_(catalog), cloner_(cloner), failover_(failover) {}

  /// C_CreateObject, C_CopyObject, C_UnwrapKey, C_DeriveKey: the same call makes the same object on each member.
  CK_RV create(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// C_SetAttributeValue.
  CK_RV change(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// C_DestroyObject.
  CK_RV destroy(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

  /// The object that a call made on a member, known from now on to the application's session.
  ObjectPtr note(Session& session, GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle)
      P11HA_REQUIRES(session.mutex);
  /// The same object, made in the session's own session on a further member.
  void madeAlso(Session& session, const ObjectPtr& object, GroupMember& member, std::uint32_t epoch,
                CK_OBJECT_HANDLE handle) P11HA_REQUIRES(session.mutex);
  /// Clones a new object to a member, and logs it where that cannot be.
  void cloneTo(GroupMember& member, Session& session, const ObjectPtr& object, GroupMember& source,
               std::uint32_t sourceEpoch) P11HA_REQUIRES(session.mutex);
  /// The members besides that one to which every change goes.
  MemberMask others(const GroupMember& but) const;

  /// UnreplicatedKeys = deny, in a group that has somebody to replicate to: no key may be made that one member only
  /// could ever hold.
  bool deniesUnreplicated() const;
  /// Why that object on that member cannot be cloned; empty: it can.
  std::string obstacle(Session& session, GroupMember& member, CK_OBJECT_HANDLE object) P11HA_REQUIRES(session.mutex);
  /// Logs on how many members a key is that cannot be cloned to the others.
  void logUnreplicated(const ObjectPtr& object, const std::string& reason);

  /// Logs that a member would not follow.
  void unsynced(GroupMember& member, const ObjectPtr& object, const cryptoki::Outcome& outcome);

  /// Destroys the session's objects wherever they are, as it is closed.
  void endSessionObjects(Session& session) P11HA_REQUIRES(session.mutex);

 private:
  CK_RV judgeReplication(Session& session, const ObjectPtr& object, GroupMember& maker, CK_OBJECT_HANDLE* answer)
      P11HA_REQUIRES(session.mutex);
  void remove(Session& session, const ObjectPtr& object, MemberMask done) P11HA_REQUIRES(session.mutex);
  void destroyElsewhere(Session& session, const ObjectPtr& object, MemberMask done) P11HA_REQUIRES(session.mutex);
  Group& group_;
  Catalog& catalog_;
  Cloner& cloner_;
  Failover& failover_;
};

}  // namespace p11ha::ha
