// Calls that make, change or end objects: on the primary first, whose answer is the application's, then on every other
// active member before that answer is given ("Making a key" in CLONING.md).
#pragma once

#include "ha/cloning.h"
#include "ha/key_truth.h"
#include "ha/missed_changes.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread that holds the session.
class KeyManagement {
 public:
  KeyManagement(Group& group, Catalog& catalog, Cloner& cloner, Failover& failover, KeyTruth& truth,
                KeyRecords& records, MissedChanges& missed)
      : group_(group),
        catalog_(catalog),
        cloner_(cloner),
        failover_(failover),
        truth_(truth),
        records_(records),
        missed_(missed) {}

  /// C_CreateObject, C_CopyObject, C_UnwrapKey, C_DeriveKey: the same call makes the same object on each member.
  CK_RV create(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// C_SetAttributeValue.
  CK_RV change(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// C_DestroyObject.
  CK_RV destroy(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

  /// The object that a call made on a member, known from now on to the application's session. `assumed`: what it is to
  /// be, where the member does not live to tell.
  ObjectPtr note(Session& session, GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle,
                 const Identity& assumed, UnderWay& underWay) P11HA_REQUIRES(session.mutex);
  /// As Catalog has it: once all that is known of it was said.
  void beforeHandingOut(const ObjectPtr& object);
  /// After the object was made, or changed, on others, too: where the first was lost before it told what it is, they
  /// do.
  void askAgain(Session& session, const ObjectPtr& object, const GroupMember& first, std::uint32_t epoch,
                MemberMask others) P11HA_REQUIRES(session.mutex);
  /// The same object, made in the session's own session on a further member.
  void madeAlso(Session& session, const ObjectPtr& object, GroupMember& member, std::uint32_t epoch,
                CK_OBJECT_HANDLE handle) P11HA_REQUIRES(session.mutex);
  /// Clones a new object to a member, and logs it where that cannot be.
  void cloneTo(GroupMember& member, Session& session, const ObjectPtr& object, GroupMember& source,
               std::uint32_t sourceEpoch) P11HA_REQUIRES(session.mutex);
  /// The same to those that have come back since the call chose its members: their recovery leaves it to the call.
  void cloneToReturned(Session& session, const ObjectPtr& object, GroupMember& source, std::uint32_t sourceEpoch,
                       MemberMask reached) P11HA_REQUIRES(session.mutex);
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
  /// What the member says the object is; `assumed` where it does not live to tell.
  Identity identityOn(Session& session, GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle,
                      const Identity& assumed) P11HA_REQUIRES(session.mutex);
  /// What the application asked, and in what shape members are asked for it.
  struct Asked {
    const cryptoki::Call& call;
    KeyTruth::Shaped shaped{};
  };
  using Made = CK_RV (KeyManagement::*)(Session&, const cryptoki::Call&, const Asked&);
  /// With the template that members are to be given, and as it was asked if they refuse that.
  CK_RV asShaped(Session& session, const cryptoki::Call& call, Made made) P11HA_REQUIRES(session.mutex);
  CK_RV make(Session& session, const cryptoki::Call& call, const Asked& asked) P11HA_REQUIRES(session.mutex);
  CK_RV alter(Session& session, const cryptoki::Call& call, const Asked& asked) P11HA_REQUIRES(session.mutex);
  /// What there is to be told of an object just made from `source` (null: from none), beyond what its members say.
  std::optional<notes::Truth> truthOfMade(Session& session, const Asked& asked, const ObjectPtr& source,
                                          const ObjectPtr& made) P11HA_REQUIRES(session.mutex);
  std::optional<notes::Truth> truthOfDerived(Session& session, const Asked& asked, const cryptoki::Template& wanted,
                                             const ObjectPtr& base, const ObjectPtr& made)
      P11HA_REQUIRES(session.mutex);
  void addLength(Session& session, const ObjectPtr& object, notes::Truth& truth) P11HA_REQUIRES(session.mutex);
  CK_RV judgeReplication(Session& session, const ObjectPtr& object, GroupMember& maker, CK_OBJECT_HANDLE* answer)
      P11HA_REQUIRES(session.mutex);
  void remove(Session& session, const ObjectPtr& object, const notes::Subject& before, MemberMask done)
      P11HA_REQUIRES(session.mutex);
  /// The same call on the other members that hold the object.
  Reached elsewhere(Session& session, const ObjectPtr& object, MemberMask done, cryptoki::Call call)
      P11HA_REQUIRES(session.mutex);
  /// Destroys what another process has put there meanwhile.
  void removeLate(Session& session, const notes::Subject& about, GroupMember& member) P11HA_REQUIRES(session.mutex);

  Group& group_;
  Catalog& catalog_;
  Cloner& cloner_;
  Failover& failover_;
  KeyTruth& truth_;
  KeyRecords& records_;
  MissedChanges& missed_;
};

}  // namespace p11ha::ha
