#include "ha/notes/names.h"

#include <algorithm>

namespace p11ha::ha::notes {

Names::Names(const std::vector<Note>& notes) {
  std::map<Name, std::pair<std::uint64_t, bool>> ends;  // the latest tombstone, and whether it is cancelled
  for (const Note& note : notes) {
    if (const auto* const change = std::get_if<Change>(&note.says)) {
      // No change makes another kind of object of one, or a private one public: whoever can write public notes only
      // cannot speak of private objects.
      const auto kindOf = [](const Subject& subject) {
        return std::tuple(subject.objectClass, subject.type, subject.isPrivate);
      };
      if (kindOf(change->before) != kindOf(change->after)) continue;
      if (nameOf(change->before) == nameOf(change->after)) continue;
      next_.emplace(nameOf(change->before), nameOf(change->after));
      next_.emplace(nameOf(change->after), nameOf(change->before));
    } else if (const auto* const tombstone = std::get_if<Tombstone>(&note.says)) {
      std::pair<std::uint64_t, bool>& end = ends[nameOf(tombstone->about)];
      end = std::max(end, {tombstone->at, tombstone->cancelled});
    }
  }
  for (const auto& [name, end] : ends) {
    if (!end.second) ended_.insert(name);
  }
}

std::set<Name> Names::of(const Name& name) const {
  std::set<Name> all{name};
  for (std::vector<Name> open{name}; !open.empty();) {
    const Name last = std::move(open.back());
    open.pop_back();
    for (auto [at, end] = next_.equal_range(last); at != end; ++at) {
      if (all.insert(at->second).second) open.push_back(at->second);
    }
  }
  return all;
}

bool Names::tellOfEnd(const std::set<Name>& names) const {
  return std::any_of(names.begin(), names.end(), [&](const Name& name) { return ended_.contains(name); });
}

}  // namespace p11ha::ha::notes
