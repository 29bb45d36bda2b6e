// The records of keys on the members (notes/note.h): written, carried along, taken away ("The truth the application
// reads" in CLONING.md).
#pragma once

#include "ha/attribute_truth.h"
#include "ha/catalog.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread; blocks as the calls it makes on members do, in p11ha's own sessions there. A
/// member that fails at one is reported as lost; one that takes no records has none, and is read by the others'.
class KeyRecords {
 public:
  KeyRecords(Group& group, Catalog& catalog) : group_(group), catalog_(catalog) {}

  /// What the application reads of that object, in so far as not of its members: as the call that made it left it, or
  /// as its record says. Nothing: there is none. Asks no member.
  std::optional<notes::Truth> truthOf(Object& object) const;

  /// Does a key that is generated now need a record? Not where it is and stays the one that its member made.
  bool needed(bool isSealed, bool canBeCloned) const;

  /// Writes a record; its handle, or CK_INVALID_HANDLE.
  CK_OBJECT_HANDLE write(GroupMember& member, std::uint32_t epoch, const Identity& key, const notes::Truth& truth,
                         OwnSession own = &GroupMember::control);
  void erase(GroupMember& member, std::uint32_t epoch, CK_OBJECT_HANDLE record, OwnSession own = &GroupMember::control);

  /// The object, a key of that truth or what goes with one, was changed on the members: what they have of it under its
  /// former name follows. `isNews`: the truth is another, too.
  void follow(const ObjectPtr& object, const Identity& before, const notes::Truth& truth, bool isNews);
  /// The object was destroyed: its records go, unless they speak of another one as well.
  void destroyed(const Identity& key);

  /// Before a key is copied from that member at a recovery: where none of them has a record of it, what the member says
  /// is to be the truth on all.
  void adopt(const ObjectPtr& object, GroupMember& source, std::uint32_t epoch);
  /// At a recovery: the member gets the records of its keys that others have and it lacks. The outcome is the member's
  /// if it is lost.
  cryptoki::Outcome complete(GroupMember& member, std::uint32_t epoch);
  /// With all members there: records of no key are removed, unless they are so young that it may be under way.
  void sweep();

 private:
  struct Stale {
    unsigned member;
    CK_OBJECT_HANDLE record;
  };
  std::vector<Stale> stale() const;
  bool seesAll() const;
  CK_OBJECT_HANDLE put(GroupMember& member, std::uint32_t epoch, notes::Note note, OwnSession own,
                       cryptoki::Outcome& outcome);

  Group& group_;
  Catalog& catalog_;
};

/// What a member says of a key. CKR_OK, too, where it shows none of it; else the member's outcome.
cryptoki::Outcome readTruth(cryptoki::Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                            notes::Truth& truth);

}  // namespace p11ha::ha
