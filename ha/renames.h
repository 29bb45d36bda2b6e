// Whether an object of a member may be one that is known under another name.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "ha/group.h"
#include "ha/notes/names.h"

namespace p11ha::ha {

/// For one look at a member; one thread. Of an object there may be copies under other names, so that one which was
/// destroyed, or made, by somebody else looks like another that was renamed.
class Renames {
 public:
  enum class Unnoted {
    No,       // what a member that was away missed, the notes tell
    JustNow,  // a call may be renaming it on one member after the other at this moment
  };
  Renames(const Group& group, Unnoted unnoted) : group_(group), unnoted_(unnoted) {}

  /// Of the same material. `hasGone`: the member was seen to hold what is known, and does not show it any more; what is
  /// renamed keeps its handle. May throw std::bad_alloc.
  bool mayBe(const Identity& entry, const Identity& known, bool hasGone);

 private:
  const std::set<notes::Name>& namesOf(const notes::Name& name);

  const Group& group_;
  const Unnoted unnoted_;
  std::optional<notes::Names> noted_;
  std::map<notes::Name, std::set<notes::Name>> asked_;
};

}  // namespace p11ha::ha
