// Keeps the object table true to what the members hold: finds what others made, and the same object on each member.
#pragma once

#include <unordered_set>

#include "ha/group.h"
#include "ha/inventory.h"
#include "ha/key_proof.h"
#include "ha/matching.h"
#include "ha/renames.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread; blocks as the calls it makes on members do, and holds no lock across them but
/// that of p11ha's own sessions on them.
class Catalog {
 public:
  explicit Catalog(Group& group) : group_(group) {}

  /// Reads what those members hold and the table does not know yet, the first one's view first, and binds it, in those
  /// sessions of ours. What is there under another handle than it was is bound to that. A member that fails at it is
  /// reported as lost.
  void refresh(MemberMask members, OwnSession own = &GroupMember::control);

  /// The same for one member under an epoch that does not serve yet; every known object that it has not is marked
  /// absent. The outcome is the member's if it failed. For a recovery: no call of the application waits for it.
  cryptoki::Outcome takeStock(GroupMember& member, std::uint32_t epoch);

  /// The same for a member that serves: what it does not hold any more is absent, too. CKR_USER_NOT_LOGGED_IN, and
  /// nothing changed, where it does not show what the group's user may see.
  cryptoki::Outcome lookAgain(GroupMember& member, std::uint32_t epoch, OwnSession own);

  /// Reads what other processes have noted on that member, or taken away there, since it was looked at.
  cryptoki::Outcome readNotes(GroupMember& member, std::uint32_t epoch, OwnSession own);

  /// What the object is known by.
  notes::Subject subjectOf(const ObjectPtr& object);

  /// Objects of that member that were not known before and are the one that a note is about, under the same name.
  std::vector<ObjectPtr> findNew(const notes::Subject& subject, GroupMember& member, std::uint32_t epoch);

  /// Is the object the one that a note is about, whatever it is called? Shown by members among those that certainly
  /// hold it. Impossible: nothing can tell.
  Proof proveAbout(const notes::Subject& subject, const ObjectPtr& object, MemberMask among, OwnSession own);

  /// The object's handle on that member, or CK_INVALID_HANDLE if it is not there. A claim is proved first, once; one
  /// that fails is dropped, and so is that of a key which nothing can prove: to be alike is no proof.
  CK_OBJECT_HANDLE handleOn(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch,
                            OwnSession own = &GroupMember::control);

  /// The object that a call of ours has just made on a member: a new one, unless somebody's refresh was there first.
  ObjectPtr made(GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, CK_SESSION_HANDLE owner,
                 Identity identity) P11HA_EXCLUDES(installing_);

  /// The same object, made by us on a further member. False if it has been destroyed meanwhile: the copy must go.
  bool madeAlso(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle)
      P11HA_EXCLUDES(installing_);

  /// Before the application learns the object's handle: sees to it that a key is known again even if all members are
  /// lost at once. Where none that holds it answers just now, before it is used.
  void beforeHandingOut(const ObjectPtr& object);

  /// Reads it anew on a member that holds it: another process may have changed it. False if it could not be read.
  bool readAgain(const ObjectPtr& object, GroupMember& holder, OwnSession own);

  /// After the member said that the handle means nothing to it: looks for the object once more.
  void resolveAgain(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch);

  /// No application knows the key yet, and no other member shows it: it is whatever that member has there.
  bool isOnlyThere(const Object& object, const GroupMember& member) const;

  /// Objects that serving members hold and the primary does not, by holder.
  std::vector<ObjectPtr> onlyElsewhere(const GroupView& view) const;

 private:
  cryptoki::Outcome read(GroupMember& member, std::uint32_t epoch, std::vector<InventoryEntry>& entries, OwnSession own,
                         std::unordered_set<CK_OBJECT_HANDLE>* seen = nullptr);
  using Bindings = std::vector<std::pair<ObjectPtr, CK_OBJECT_HANDLE>>;
  Bindings bindingsOn(const GroupMember& member, std::uint32_t epoch) const;
  void forgetUnseen(GroupMember& member, std::uint32_t epoch, const Bindings& before,
                    const std::unordered_set<CK_OBJECT_HANDLE>& seen, Holding now);
  void putAside(GroupMember& member, std::vector<InventoryEntry>& entries);
  void findPublicParts(GroupMember& member, std::uint32_t epoch, CK_SESSION_HANDLE session,
                       std::vector<InventoryEntry>& entries);
  void install(GroupMember& member, std::uint32_t epoch, const std::vector<InventoryEntry>& entries, OwnSession own,
               Renames::Unnoted unnoted) P11HA_EXCLUDES(installing_);
  void renew(GroupMember& member, std::uint32_t epoch, const std::vector<InventoryEntry>& entries, OwnSession own,
             Renames& renames);
  void candidatesFor(const GroupMember& member, std::uint32_t epoch, std::vector<ObjectPtr>& candidates,
                     std::vector<Identity>& known) const;
  std::vector<ObjectPtr> bindAll(GroupMember& member, std::uint32_t epoch, const std::vector<InventoryEntry>& entries,
                                 Renames& renames) P11HA_EXCLUDES(installing_);
  bool isHeldBeside(const Object& object, const GroupMember& member) const;
  static bool knows(GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE handle);
  CK_OBJECT_HANDLE prove(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch,
                         OwnSession own = &GroupMember::control);
  Proof provePrivate(const Identity& identity, const KeyOn& key);
  base::Result<std::vector<std::uint8_t>, Proof> showPublicPart(const KeyOn& key);
  std::optional<Credentials> authenticationFor(const KeyOn& key);
  Proof proveAt(const ObjectPtr& object, const std::vector<std::uint8_t>& material, MemberMask among, OwnSession own);
  Proof settle(const ObjectPtr& object, MemberMask among, OwnSession own);
  Proof proveOn(const ObjectPtr& object, GroupMember& member, std::uint32_t epoch, OwnSession own);
  struct Holder {
    GroupMember& member;
    std::uint32_t epoch;
  };
  Proof proveBeside(const ObjectPtr& object, const Holder& reference, const Holder& candidate, OwnSession own);

  Group& group_;
  base::Mutex installing_;  // so that two readers of one object make one entry; no call is made under it
};

}  // namespace p11ha::ha
