#include "ha/notes/names.h"

#include <algorithm>

namespace p11ha::ha::notes {

Names::Names(const std::vector<Note>& notes) {
  std::map<Name, std::pair<std::uint64_t, bool>> ends;  // the latest tombstone, and whether it is cancelled
  for (const Note& note : notes) {
    if (const auto* const change = std::get_if<Change>(&note.says)) {
      const auto [formerClass, formerType, wasPrivate, formerLabel, formerId] = nameOf(change->before);
      const auto [nowClass, nowType, isPrivate, nowLabel, nowId] = nameOf(change->after);
      // No change makes another kind of object of one, or a private one public: whoever can write public notes only
      // cannot speak of private objects.
      const Kind kind(nowClass, nowType, isPrivate);
      if (Kind(formerClass, formerType, wasPrivate) != kind) continue;
      link(labels_, kind, formerLabel, nowLabel);
      link(ids_, kind, formerId, nowId);
    } else if (const auto* const tombstone = std::get_if<Tombstone>(&note.says)) {
      std::pair<std::uint64_t, bool>& end = ends[nameOf(tombstone->about)];
      end = std::max(end, {tombstone->at, tombstone->cancelled});
    }
  }
  for (const auto& [name, end] : ends) {
    if (!end.second) ended_.insert(name);
  }
}

void Names::link(Links& links, const Kind& kind, const std::string& one, const std::string& other) {
  if (one == other) return;
  links.emplace(std::pair(kind, one), other);
  links.emplace(std::pair(kind, other), one);
}

std::set<std::string> Names::reach(const Links& links, const Kind& kind, const std::string& from) {
  std::set<std::string> all{from};
  for (std::vector<std::string> open{from}; !open.empty();) {
    const std::string last = std::move(open.back());
    open.pop_back();
    for (auto [at, end] = links.equal_range({kind, last}); at != end; ++at) {
      if (all.insert(at->second).second) open.push_back(at->second);
    }
  }
  return all;
}

std::set<Name> Names::of(const Name& name) const {
  const auto& [objectClass, type, isPrivate, label, id] = name;
  const Kind kind(objectClass, type, isPrivate);
  const std::set<std::string> ids = reach(ids_, kind, id);
  std::set<Name> all;
  for (const std::string& otherLabel : reach(labels_, kind, label)) {
    for (const std::string& otherId : ids) all.emplace(objectClass, type, isPrivate, otherLabel, otherId);
  }
  return all;
}

bool Names::tellOfEnd(const std::set<Name>& names) const {
  return std::any_of(names.begin(), names.end(), [&](const Name& name) { return ended_.contains(name); });
}

}  // namespace p11ha::ha::notes
