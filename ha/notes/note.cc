#include "ha/notes/note.h"

#include <openssl/sha.h>

#include <algorithm>

namespace p11ha::ha::notes {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::array<std::uint8_t, 6> kMagic = {'p', '1', '1', 'h', 'a', 1};
constexpr std::size_t kMostTypes = 1024;

enum class Sort : std::uint8_t { Record, Tombstone, Change };
enum class Flag : std::uint8_t {
  Local = 1,
  AlwaysSensitive = 2,
  NeverExtractable = 4,
  AsShaped = 8,
  NotSensitive = 16,
  WrapWithTrusted = 32,
  HasLength = 64,  // which follows
};
constexpr unsigned kAllFlags = 127;

// Little endian; bytes with their length before them.
class Out {
 public:
  void byte(std::uint8_t value) { bytes_.push_back(value); }
  void number(std::uint64_t value) {
    for (unsigned shift = 0; shift < 64; shift += 8) byte(static_cast<std::uint8_t>(value >> shift));
  }
  template <class Range>
  void bytes(const Range& value) {
    number(value.size());
    bytes_.insert(bytes_.end(), value.begin(), value.end());
  }
  void plain(std::span<const std::uint8_t> value) { bytes_.insert(bytes_.end(), value.begin(), value.end()); }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Whatever is read past the end is empty, and good() is false from then on.
class In {
 public:
  explicit In(std::span<const std::uint8_t> bytes) : left_(bytes) {}

  std::uint8_t byte() {
    const auto one = plain(1);
    return one.empty() ? std::uint8_t{0} : one[0];
  }
  bool flag() {
    const std::uint8_t value = byte();
    good_ = good_ && value <= 1;
    return value == 1;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    const auto bytes = plain(8);
    for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
    return value;
  }
  std::span<const std::uint8_t> bytes() {
    const std::uint64_t size = number();
    if (size > left_.size()) good_ = false;
    return good_ ? plain(size) : std::span<const std::uint8_t>();
  }
  Bytes copy() {
    const auto value = bytes();
    return {value.begin(), value.end()};
  }
  std::string text() {
    const auto value = bytes();
    return {value.begin(), value.end()};
  }
  std::span<const std::uint8_t> plain(std::size_t size) {
    if (!good_ || size > left_.size()) {
      good_ = false;
      return {};
    }
    const auto taken = left_.first(size);
    left_ = left_.subspan(size);
    return taken;
  }
  void fail() { good_ = false; }
  bool good() const { return good_; }
  bool finished() const { return good_ && left_.empty(); }

 private:
  std::span<const std::uint8_t> left_;
  bool good_ = true;
};

void put(Out& to, const Subject& subject) {
  to.number(subject.objectClass);
  to.number(subject.type);
  to.byte(subject.isPrivate ? 1 : 0);
  to.bytes(subject.label);
  to.bytes(subject.id);
  to.bytes(subject.print);
  to.bytes(subject.material);
  to.byte(subject.witness ? 1 : 0);
  if (!subject.witness) return;
  to.number(subject.witness->way);
  to.plain(subject.witness->salt);
  to.bytes(subject.witness->answer);
}

std::vector<std::uint8_t> printOf(const std::vector<std::uint8_t>& material) {
  std::vector<std::uint8_t> print(SHA256_DIGEST_LENGTH);
  SHA256(material.data(), material.size(), print.data());
  return print;
}

bool isMaterialOf(const Subject& subject) {
  return subject.objectClass == CKO_PRIVATE_KEY && subject.material.size() <= kMostMaterial &&
         subject.print == printOf(subject.material);
}

Subject getSubject(In& from) {
  Subject subject;
  subject.objectClass = from.number();
  subject.type = from.number();
  subject.isPrivate = from.flag();
  subject.label = from.copy();
  subject.id = from.copy();
  subject.print = from.copy();
  if (!subject.print.empty() && subject.print.size() != SHA256_DIGEST_LENGTH) from.fail();
  subject.material = from.copy();
  if (!subject.material.empty() && !isMaterialOf(subject)) from.fail();
  if (!from.flag()) return subject;
  Witness& witness = subject.witness.emplace();
  witness.way = from.number();
  const auto salt = from.plain(witness.salt.size());
  std::copy(salt.begin(), salt.end(), witness.salt.begin());
  const auto answer = from.bytes();
  witness.answer.assign(answer.begin(), answer.end());
  return subject;
}

void put(Out& to, const Record& record) {
  const Truth& truth = record.truth;
  put(to, record.about);
  const auto flag = [](bool is, Flag which) { return is ? static_cast<unsigned>(which) : 0U; };
  to.byte(static_cast<std::uint8_t>(
      flag(truth.local, Flag::Local) | flag(truth.alwaysSensitive, Flag::AlwaysSensitive) |
      flag(truth.neverExtractable, Flag::NeverExtractable) | flag(truth.asShaped, Flag::AsShaped) |
      flag(truth.notSensitive, Flag::NotSensitive) | flag(truth.wrapWithTrusted, Flag::WrapWithTrusted) |
      flag(truth.valueLength != 0, Flag::HasLength)));
  to.number(truth.keyGenMechanism);
  if (truth.valueLength != 0) to.number(truth.valueLength);
  to.number(record.at);
}

Record getRecord(In& from) {
  Record record{getSubject(from), {}, {}};
  const unsigned flags = from.byte();
  if (flags > kAllFlags) from.fail();
  const auto has = [flags](Flag which) { return (flags & static_cast<unsigned>(which)) != 0; };
  record.truth = {has(Flag::Local), has(Flag::AlwaysSensitive), has(Flag::NeverExtractable), has(Flag::AsShaped),
                  from.number(),    has(Flag::NotSensitive),    has(Flag::WrapWithTrusted),  0};
  if (has(Flag::HasLength)) {
    record.truth.valueLength = from.number();
    if (record.truth.valueLength == 0) from.fail();
  }
  record.at = from.number();
  return record;
}

void put(Out& to, const Tombstone& tombstone) {
  put(to, tombstone.about);
  to.number(tombstone.at);
  to.byte(tombstone.cancelled ? 1 : 0);
  to.bytes(tombstone.by);
}

Tombstone getTombstone(In& from) {
  Tombstone tombstone{getSubject(from), {}, {}, {}};
  tombstone.at = from.number();
  tombstone.cancelled = from.flag();
  tombstone.by = from.text();
  return tombstone;
}

void put(Out& to, const Change& change) {
  put(to, change.before);
  put(to, change.after);
  to.number(change.types.size());
  for (const CK_ATTRIBUTE_TYPE type : change.types) to.number(type);
  to.number(change.at);
  to.bytes(change.by);
}

Change getChange(In& from) {
  Change change{getSubject(from), getSubject(from), {}, {}, {}};
  const std::uint64_t count = from.number();
  if (count > kMostTypes) from.fail();
  for (std::uint64_t i = 0; i < count && from.good(); ++i) change.types.push_back(from.number());
  change.at = from.number();
  change.by = from.text();
  return change;
}

}  // namespace

Subject subjectOf(const Identity& identity) {
  Subject subject{identity.objectClass, identity.type, identity.isPrivate, identity.label, identity.id, {}, {}, {}};
  if (identity.material.empty()) return subject;
  subject.print = printOf(identity.material);
  const bool showsIt = identity.objectClass != CKO_PRIVATE_KEY || identity.type == CKK_RSA;
  if (!showsIt && identity.material.size() <= kMostMaterial) subject.material = identity.material;
  return subject;
}

Likeness compare(const Subject& subject, const Identity& identity) {
  if (subject.objectClass != identity.objectClass || subject.type != identity.type ||
      subject.isPrivate != identity.isPrivate)
    return Likeness::Other;
  return compare(subject, subjectOf(identity), identity.lent);
}

Likeness compare(const Subject& subject, const Subject& identity, bool lent) {
  if (subject.objectClass != identity.objectClass || subject.type != identity.type ||
      subject.isPrivate != identity.isPrivate)
    return Likeness::Other;
  if (subject.print.empty() || identity.print.empty())
    return subject.label == identity.label && subject.id == identity.id ? Likeness::Perhaps : Likeness::Other;
  if (subject.print != identity.print) return lent ? Likeness::Perhaps : Likeness::Other;
  return identity.objectClass == CKO_SECRET_KEY || lent ? Likeness::Perhaps : Likeness::Same;
}

Likeness compareUnnamed(const Subject& subject, const Identity& identity) {
  Subject renamed = subject;
  renamed.label = identity.label;
  renamed.id = identity.id;
  return compare(renamed, identity);
}

std::optional<std::uint64_t> Note::missedAt() const {
  if (const auto* const change = std::get_if<Change>(&says)) return change->at;
  if (const auto* const tombstone = std::get_if<Tombstone>(&says)) return tombstone->at;
  return std::nullopt;
}

std::string_view Note::by() const {
  if (const auto* const change = std::get_if<Change>(&says)) return change->by;
  if (const auto* const tombstone = std::get_if<Tombstone>(&says)) return tombstone->by;
  return {};
}

const Subject& Note::about() const {
  if (const auto* const change = std::get_if<Change>(&says)) return change->after;
  if (const auto* const tombstone = std::get_if<Tombstone>(&says)) return tombstone->about;
  return std::get<Record>(says).about;
}

std::string_view labelOf(const Note& note) {
  static constexpr std::array<std::string_view, 3> kLabels = {"p11ha record", "p11ha tombstone", "p11ha change"};
  return kLabels[note.says.index()];
}

std::vector<std::uint8_t> encode(const Note& note) {
  Out to;
  to.plain(kMagic);
  to.byte(static_cast<std::uint8_t>(note.says.index()));
  to.bytes(note.group);
  std::visit([&to](const auto& says) { put(to, says); }, note.says);
  Bytes value = to.take();
  if (value.size() > kMostBytes) value.clear();
  return value;
}

std::optional<Note> decode(std::span<const std::uint8_t> value) {
  if (value.size() > kMostBytes) return std::nullopt;
  In from(value);
  const auto magic = from.plain(kMagic.size());
  if (!std::equal(magic.begin(), magic.end(), kMagic.begin(), kMagic.end())) return std::nullopt;
  Note note;
  const auto sort = static_cast<Sort>(from.byte());
  note.group = from.text();
  switch (sort) {
    case Sort::Record:
      note.says = getRecord(from);
      break;
    case Sort::Tombstone:
      note.says = getTombstone(from);
      break;
    case Sort::Change:
      note.says = getChange(from);
      break;
    default:
      return std::nullopt;
  }
  if (!from.finished()) return std::nullopt;
  return note;
}

}  // namespace p11ha::ha::notes
