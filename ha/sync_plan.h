// What makes the members of a group hold the same again: pure ("Resync" in CLONING.md).
#pragma once

#include <vector>

#include "cryptoki/pkcs11.h"
#include "ha/policy.h"

namespace p11ha::ha {

/// An object as the plan sees it.
struct SyncObject {
  bool alive = true;
  bool lasting = true;      // a token object
  bool isKey = false;       // a private or secret key
  bool isDisputed = false;  // a note may be about it, and nothing can tell: it is left alone
  MemberMask holders = 0;   // members that certainly hold it and can be asked
  MemberMask unclear = 0;   // those where something is that cannot be told from it
  friend bool operator==(const SyncObject&, const SyncObject&) = default;
};

/// A note, on however many members it is.
struct SyncNote {
  enum class Sort : std::uint8_t { Destroyed, MadeAnew, Changed };
  Sort sort = Sort::Destroyed;
  std::uint64_t at = 0;
  MemberMask holders = 0;            // members that have it, those away now not among them
  std::vector<std::size_t> objects;  // that it is about, proved; indices
  bool isDisputed = false;           // it may be about others, too
  bool isFresh = false;              // it may be later than what is known of the members, and stays where it is
  std::vector<CK_ATTRIBUTE_TYPE> types;
  unsigned rank = 0;  // of the serial number of the member that did it first, the smallest first
  friend bool operator==(const SyncNote&, const SyncNote&) = default;
};

struct SyncState {
  std::vector<SyncObject> objects;
  std::vector<SyncNote> notes;
  MemberMask configured = 0;
  MemberMask here = 0;      // those that can be asked
  MemberMask returned = 0;  // those to which goes whatever they lack
};

struct SyncAction {
  enum class What : std::uint8_t {
    Destroy,    // object `object` on `member`
    Change,     // its attributes `types` on `member`, to what they are on `source`
    Copy,       // the object from `source` to `member`
    WriteNote,  // note `note` on `member`
    RemoveNote,
  };
  What what{};
  unsigned member = 0;
  std::size_t object = 0;
  std::size_t note = 0;
  unsigned source = 0;
  std::vector<CK_ATTRIBUTE_TYPE> types;
  /// Of these, what was changed on `member`, too, and gives way.
  std::vector<CK_ATTRIBUTE_TYPE> lost;
  friend bool operator==(const SyncAction&, const SyncAction&) = default;
};

/// In the order in which they are to be done: cut off anywhere and planned again, the rest comes. Nothing is destroyed
/// without a tombstone.
///
/// Of several notes about one object the latest counts, then that of the member of the smallest serial number; a
/// destruction counts before any change. An object on a member that has its tombstone was made anew after it.
/// Everywhere else it is destroyed, keys before the public keys that they are known by. A changed attribute is given
/// by a member that has the latest change record of it. A note is written to those that lack it as long as a member of
/// the configuration is away, and removed from all once none is, tombstones before what cancels them.
std::vector<SyncAction> plan(const SyncState& state);

/// Objects that the plan has destroyed everywhere: indices.
std::vector<bool> condemned(const SyncState& state);

}  // namespace p11ha::ha
