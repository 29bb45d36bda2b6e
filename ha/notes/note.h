// What p11ha keeps on the members beside the application's objects: records, tombstones and change records (CLONING.md,
// "The truth the application reads", "Resync").
//
// A note is a CKO_DATA token object whose CKA_APPLICATION is "p11ha" and whose CKA_VALUE is what encode() makes. It has
// the CKA_PRIVATE of the object it is about. The application sees none of them.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ha/identity.h"
#include "ha/witness.h"

namespace p11ha::ha::notes {

/// CKA_APPLICATION of every note.
inline constexpr std::string_view kApplication = "p11ha";
/// The longest CKA_VALUE of one.
inline constexpr std::size_t kMostBytes = 64UL << 10;

/// The longest Subject::material.
inline constexpr std::size_t kMostMaterial = 4096;

/// The token object that a note is about.
struct Subject {
  CK_OBJECT_CLASS objectClass = CK_UNAVAILABLE_INFORMATION;
  CK_ULONG type = CK_UNAVAILABLE_INFORMATION;
  bool isPrivate = false;
  std::vector<std::uint8_t> label;
  std::vector<std::uint8_t> id;
  /// SHA-256 of Identity::material; empty where nothing tells.
  std::vector<std::uint8_t> print;
  /// Of a private key that does not show what it is made of: Identity::material itself, at most kMostMaterial bytes.
  /// Once the public key beside it is gone, nothing else tells it from others.
  std::vector<std::uint8_t> material;
  /// Of a secret key, whose print is but a check value. Only in a private note.
  std::optional<Witness> witness;

  friend bool operator==(const Subject&, const Subject&) = default;
};

/// How sure it is that an object of that identity is the one a subject describes.
enum class Likeness : std::uint8_t {
  Other,
  Perhaps,  // the print is only a check value, or lent, or missing: to be proved
  Same,     // all that is public of it is the same
};

/// Without a witness, which it gets where one is wanted. May throw std::bad_alloc.
Subject subjectOf(const Identity& identity);
/// By class, type and CKA_PRIVATE, and by what it is made of: labels and IDs are changed. Where nothing tells what it
/// is made of, they decide, too.
Likeness compare(const Subject& subject, const Identity& identity);
/// The same, for whoever has the identity's own subject.
Likeness compare(const Subject& subject, const Subject& identity, bool lent);
/// The same, whatever the object is called now.
Likeness compareUnnamed(const Subject& subject, const Identity& identity);

/// What the application reads of a key that cannot be read from a clone of it. A key without a record is read as these
/// defaults say.
struct Truth {
  bool local = false;
  bool alwaysSensitive = false;
  bool neverExtractable = false;
  /// The application has asked for the shape that otherwise means a sealed key (sealed_shape.h).
  bool asShaped = false;
  CK_MECHANISM_TYPE keyGenMechanism = CK_UNAVAILABLE_INFORMATION;
  // Of a sealed key only.
  bool notSensitive = false;
  bool wrapWithTrusted = false;
  /// CKA_VALUE_LEN of a sensitive secret key: SoftHSM 2.6.1 lets nobody give it to one that it unwraps, which then
  /// reads 0. 0: it is as the member says.
  CK_ULONG valueLength = 0;

  friend bool operator==(const Truth&, const Truth&) = default;
};

/// Written before the key is, which may never come: an old record of no key is swept.
struct Record {
  Subject about;
  Truth truth;
  std::uint64_t at = 0;  // ms since the epoch, by the clock of who wrote it
  friend bool operator==(const Record&, const Record&) = default;
};

/// The object was destroyed while a member was away. Once it is made anew, the same note says so, later.
struct Tombstone {
  Subject about;
  std::uint64_t at = 0;  // as above
  bool cancelled = false;
  std::string by{};  // serial number of the member that did so first
  friend bool operator==(const Tombstone&, const Tombstone&) = default;
};

/// Attributes of the object were changed while a member was away.
struct Change {
  Subject before;
  Subject after;
  std::vector<CK_ATTRIBUTE_TYPE> types;
  std::uint64_t at = 0;  // as above
  std::string by{};      // as above
  friend bool operator==(const Change&, const Change&) = default;
};

/// One note. `group`: the serial number of the group that made it.
struct Note {
  std::string group;
  std::variant<Record, Tombstone, Change> says;

  /// The object as it is now.
  const Subject& about() const;
  /// When what it tells of was done, where that is something a member may have missed: of all but records.
  std::optional<std::uint64_t> missedAt() const;
  /// Which member did so first; empty for a record.
  std::string_view by() const;
  friend bool operator==(const Note&, const Note&) = default;
};

/// CKA_LABEL of the note: "p11ha record", "p11ha tombstone", "p11ha change".
std::string_view labelOf(const Note& note);
/// CKA_VALUE. Empty where it would be longer than kMostBytes. May throw std::bad_alloc.
std::vector<std::uint8_t> encode(const Note& note);
/// Nothing of any other bytes than encode() makes. Bounded; may throw std::bad_alloc.
std::optional<Note> decode(std::span<const std::uint8_t> value);

}  // namespace p11ha::ha::notes
