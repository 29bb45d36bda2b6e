// The virtual object handles of one group.
#pragma once

#include <array>
#include <functional>
#include <unordered_map>
#include <vector>

#include "ha/object.h"

namespace p11ha::ha {

/// Finds objects by virtual handle and by a member's own handle. Owned by the Group. Any thread; a lookup takes one of
/// many locks for some instructions, and sessions keep what they used last (session.h).
class ObjectTable {
 public:
  /// Makes an object that no member holds yet. Handles count up from 1 over the whole process and are never used again.
  ObjectPtr create(CK_SESSION_HANDLE owner, Identity identity);

  /// Null if there is no such object (any more).
  ObjectPtr find(CK_OBJECT_HANDLE handle) const;

  /// Binds an object to a member's handle, both ways. False if the object has been destroyed meanwhile.
  bool bind(const ObjectPtr& object, unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, Holding holding);

  /// What the member's handle stands for; null: nothing known, or hidden.
  ObjectPtr findAt(unsigned member, CK_OBJECT_HANDLE handle) const;

  /// Keeps an object of p11ha's own out of every search.
  void hide(unsigned member, CK_OBJECT_HANDLE handle);
  void unhide(unsigned member, CK_OBJECT_HANDLE handle);
  bool hidden(unsigned member, CK_OBJECT_HANDLE handle) const;

  /// Ends the object: its handle becomes invalid at once. False if somebody else did.
  bool remove(const ObjectPtr& object);

  /// Forgets the member's handles: it has lost them, or got others.
  void forgetMember(unsigned member);
  /// Forgets what was hidden: it has ended with the login.
  void forgetHidden(unsigned member);
  void forgetBinding(unsigned member, CK_OBJECT_HANDLE handle);
  /// The same, unless it means another object by now.
  void forgetBinding(unsigned member, CK_OBJECT_HANDLE handle, const ObjectPtr& object);

  std::vector<ObjectPtr> all() const;
  /// Ends those for which it is true, and returns them.
  std::vector<ObjectPtr> removeIf(const std::function<bool(const Object&)>& condition);

 private:
  struct Shard {
    mutable base::Mutex mutex;
    std::unordered_map<CK_OBJECT_HANDLE, ObjectPtr> objects P11HA_GUARDED_BY(mutex);
  };
  struct Reverse {
    mutable base::Mutex mutex;
    std::unordered_map<CK_OBJECT_HANDLE, ObjectPtr> objects P11HA_GUARDED_BY(mutex);  // null: hidden
  };
  static constexpr std::size_t kShards = 64;

  Shard& shard(CK_OBJECT_HANDLE handle) { return shards_[handle % kShards]; }
  const Shard& shard(CK_OBJECT_HANDLE handle) const { return shards_[handle % kShards]; }

  std::array<Shard, kShards> shards_;
  std::array<Reverse, kMaxMembers> reverse_;
};

}  // namespace p11ha::ha
