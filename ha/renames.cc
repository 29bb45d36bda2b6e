#include "ha/renames.h"

namespace p11ha::ha {

bool Renames::mayBe(const Identity& entry, const Identity& known, bool hasGone) {
  if (!group_.policy().synchronize) return true;
  if (!noted_) noted_.emplace(group_.notes.ofMissed(group_.policy().serial));
  const notes::Name name = notes::nameOf(known);
  const std::set<notes::Name>& names = namesOf(notes::nameOf(entry));
  if (names.contains(name)) return true;
  return unnoted_ == Unnoted::JustNow && !hasGone && !noted_->tellOfEnd(names) && !noted_->tellOfEnd(namesOf(name));
}

const std::set<notes::Name>& Renames::namesOf(const notes::Name& name) {
  const auto known = asked_.find(name);
  return known != asked_.end() ? known->second : asked_.emplace(name, noted_->of(name)).first->second;
}

}  // namespace p11ha::ha
