// The notes that the members hold, as far as they were read.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "ha/notes/note.h"
#include "ha/policy.h"

namespace p11ha::ha::notes {

/// Owned by the Group; filled by the Catalog and by whoever writes a note. Any thread. Bindings are the member's own
/// handles under its present epoch: forgetMember() goes with a new one.
class NoteTable {
 public:
  struct Held {
    CK_OBJECT_HANDLE handle;
    Note note;
  };

  void put(unsigned member, CK_OBJECT_HANDLE handle, Note note) P11HA_EXCLUDES(mutex_);
  void forget(unsigned member, CK_OBJECT_HANDLE handle) P11HA_EXCLUDES(mutex_);
  void forgetMember(unsigned member) P11HA_EXCLUDES(mutex_);
  /// The private ones, which have ended with the login.
  void forgetPrivate(unsigned member) P11HA_EXCLUDES(mutex_);

  /// In the order of their handles.
  std::vector<Held> on(unsigned member) const P11HA_EXCLUDES(mutex_);
  /// All tombstones and change records of that group, as often as members hold them.
  std::vector<Note> ofMissed(std::string_view group) const P11HA_EXCLUDES(mutex_);
  /// Is there a tombstone or a change record? Cheap.
  bool tellOfMissed() const P11HA_EXCLUDES(mutex_);
  /// The latest time that a tombstone or a change record bears; 0: there is none.
  std::uint64_t latest() const P11HA_EXCLUDES(mutex_);

  /// What the record of that key says, whichever member holds it; of several that could be its own, what all of them
  /// say.
  std::optional<Truth> truthOf(const Identity& key) const P11HA_EXCLUDES(mutex_);
  /// One of its records.
  std::optional<Note> recordOf(const Identity& key) const P11HA_EXCLUDES(mutex_);
  /// That member's records of the key.
  std::vector<Held> recordsOf(unsigned member, const Identity& key) const P11HA_EXCLUDES(mutex_);

 private:
  using Place = std::pair<unsigned, CK_OBJECT_HANDLE>;
  using Index = std::unordered_multimap<std::string, Place>;

  void add(const Place& place, const Note& note) P11HA_REQUIRES(mutex_);
  void remove(const Place& place, const Note& note) P11HA_REQUIRES(mutex_);
  std::vector<Place> placesOf(const Identity& key) const P11HA_REQUIRES(mutex_);

  mutable base::Mutex mutex_;
  std::array<std::map<CK_OBJECT_HANDLE, Note>, kMaxMembers> notes_ P11HA_GUARDED_BY(mutex_);
  // Where the records are of a key of that print, or of that label and ID.
  Index byPrint_ P11HA_GUARDED_BY(mutex_);
  Index byName_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::ha::notes
