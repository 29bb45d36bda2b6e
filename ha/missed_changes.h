// What a configured member missed, noted on those that are there, so that it learns it when it is back (CLONING.md,
// "Resync").
#pragma once

#include <string>
#include <vector>

#include "ha/failover.h"

namespace p11ha::ha {

/// Where a call that ended or changed an object has taken effect.
struct Reached {
  MemberMask done = 0;
  // Members of the configuration that are away, or did not show the object: another process may be giving it to them.
  MemberMask unsure = 0;
};

/// Owned by the VirtualToken. Any thread that holds the session; the notes are written in its own sessions on the
/// members. Nothing is noted where the group is not kept in sync (HASynchronize = 0).
class MissedChanges {
 public:
  MissedChanges(Group& group, Catalog& catalog, Failover& failover)
      : group_(group), catalog_(catalog), failover_(failover) {}

  /// Before an object is destroyed or changed: what it will be known by, as long as there is somebody to ask.
  notes::Subject before(const ObjectPtr& object);

  /// A token object was destroyed. A tombstone is on each member that has done so once this returns; where none takes
  /// it, the log says so.
  void destroyed(Session& session, const notes::Subject& about, const Reached& reached) P11HA_REQUIRES(session.mutex);

  /// Attributes of a token object were changed: the same with a change record. It is known as it is now from here on.
  void changed(Session& session, const notes::Subject& before, const ObjectPtr& object,
               std::span<const CK_ATTRIBUTE> attributes, const Reached& reached) P11HA_REQUIRES(session.mutex);

  /// A token object was made: if it is one that was destroyed, its tombstones count no more.
  void made(Session& session, const ObjectPtr& object) P11HA_REQUIRES(session.mutex);

 private:
  void readAgain(const ObjectPtr& object);
  notes::Subject subjectOf(const ObjectPtr& object);
  std::uint64_t stamp() const;
  std::string by(const Reached& reached) const;
  bool isDegraded() const;
  void note(Session& session, const notes::Note& note, const Reached& reached) P11HA_REQUIRES(session.mutex);
  cryptoki::Outcome writeOn(GroupMember& member, Session& session, const notes::Note& note)
      P11HA_REQUIRES(session.mutex);
  void erase(GroupMember& member, Session& session, CK_OBJECT_HANDLE handle) P11HA_REQUIRES(session.mutex);

  Group& group_;
  Catalog& catalog_;
  Failover& failover_;
};

}  // namespace p11ha::ha
