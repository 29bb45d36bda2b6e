#include "ha/notes/note_table.h"

#include <algorithm>

#include "ha/attribute_truth.h"

namespace p11ha::ha::notes {
namespace {

std::string textOf(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

std::string nameOf(const Subject& subject) {
  return std::to_string(subject.label.size()) + ":" + textOf(subject.label) + textOf(subject.id);
}

const Record* recordIn(const Note& note) { return std::get_if<Record>(&note.says); }

template <class Index, class Place>
void drop(Index& index, const std::string& key, const Place& place) {
  const auto [begin, end] = index.equal_range(key);
  const auto found = std::find_if(begin, end, [&place](const auto& each) { return each.second == place; });
  if (found != end) index.erase(found);
}

}  // namespace

void NoteTable::add(const Place& place, const Note& note) {
  const Record* const record = recordIn(note);
  if (record == nullptr) return;
  if (!record->about.print.empty()) byPrint_.emplace(textOf(record->about.print), place);
  byName_.emplace(nameOf(record->about), place);
}

void NoteTable::remove(const Place& place, const Note& note) {
  const Record* const record = recordIn(note);
  if (record == nullptr) return;
  if (!record->about.print.empty()) drop(byPrint_, textOf(record->about.print), place);
  drop(byName_, nameOf(record->about), place);
}

void NoteTable::put(unsigned member, CK_OBJECT_HANDLE handle, Note note) {
  base::Lock lock(mutex_);
  const auto [at, isNew] = notes_[member].try_emplace(handle);
  if (!isNew) remove({member, handle}, at->second);
  at->second = std::move(note);
  add({member, handle}, at->second);
}

void NoteTable::forget(unsigned member, CK_OBJECT_HANDLE handle) {
  base::Lock lock(mutex_);
  const auto at = notes_[member].find(handle);
  if (at == notes_[member].end()) return;
  remove({member, handle}, at->second);
  notes_[member].erase(at);
}

void NoteTable::forgetMember(unsigned member) {
  base::Lock lock(mutex_);
  for (const auto& [handle, note] : notes_[member]) remove({member, handle}, note);
  notes_[member].clear();
}

void NoteTable::forgetPrivate(unsigned member) {
  base::Lock lock(mutex_);
  std::erase_if(notes_[member], [&](const auto& each) P11HA_REQUIRES(mutex_) {
    if (!each.second.about().isPrivate) return false;
    remove({member, each.first}, each.second);
    return true;
  });
}

std::vector<NoteTable::Held> NoteTable::on(unsigned member) const {
  base::Lock lock(mutex_);
  std::vector<Held> held;
  held.reserve(notes_[member].size());
  for (const auto& [handle, note] : notes_[member]) held.push_back({handle, note});
  return held;
}

std::vector<Note> NoteTable::ofMissed(std::string_view group) const {
  base::Lock lock(mutex_);
  std::vector<Note> missed;
  for (const auto& held : notes_) {
    for (const auto& [handle, note] : held) {
      if (note.missedAt() && note.group == group) missed.push_back(note);
    }
  }
  return missed;
}

bool NoteTable::tellOfMissed() const {
  base::Lock lock(mutex_);
  return std::any_of(notes_.begin(), notes_.end(), [](const auto& held) {
    return std::any_of(held.begin(), held.end(), [](const auto& each) { return each.second.missedAt().has_value(); });
  });
}

std::uint64_t NoteTable::latest() const {
  base::Lock lock(mutex_);
  std::uint64_t at = 0;
  for (const auto& held : notes_) {
    for (const auto& each : held) at = std::max(at, each.second.missedAt().value_or(0));
  }
  return at;
}

// Those of its name, or else of what it is made of: of a key there may be copies of other names.
std::vector<NoteTable::Place> NoteTable::placesOf(const Identity& key) const {
  const Subject subject = subjectOf(key);
  std::vector<Place> found;
  std::vector<Place> renamed;
  const auto look = [&](const Index& index, const std::string& by) P11HA_REQUIRES(mutex_) {
    const auto [begin, end] = index.equal_range(by);
    for (auto each = begin; each != end; ++each) {
      const Subject& about = notes_[each->second.first].at(each->second.second).about();
      const Likeness likeness = compare(about, subject, key.lent);
      const bool sameName = about.label == subject.label && about.id == subject.id;
      if (likeness == Likeness::Other) continue;
      if (sameName) found.push_back(each->second);
      if (!sameName && likeness == Likeness::Same) renamed.push_back(each->second);
    }
  };
  if (!subject.print.empty()) look(byPrint_, textOf(subject.print));
  if (found.empty()) look(byName_, nameOf(subject));
  return found.empty() ? renamed : found;
}

std::optional<Truth> NoteTable::truthOf(const Identity& key) const {
  base::Lock lock(mutex_);
  std::optional<Truth> truth;
  for (const auto& [member, handle] : placesOf(key)) {
    const Truth& said = recordIn(notes_[member].at(handle))->truth;
    truth = truth ? inCommon(*truth, said) : said;
  }
  return truth;
}

std::optional<Note> NoteTable::recordOf(const Identity& key) const {
  base::Lock lock(mutex_);
  const std::vector<Place> places = placesOf(key);
  if (places.empty()) return std::nullopt;
  return notes_[places.front().first].at(places.front().second);
}

std::vector<NoteTable::Held> NoteTable::recordsOf(unsigned member, const Identity& key) const {
  base::Lock lock(mutex_);
  std::vector<Held> held;
  for (const auto& [where, handle] : placesOf(key)) {
    if (where == member) held.push_back({handle, notes_[where].at(handle)});
  }
  return held;
}

}  // namespace p11ha::ha::notes
