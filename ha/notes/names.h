// What else an object is or was called: pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "ha/notes/note.h"

namespace p11ha::ha::notes {

/// What an object is called, in so far as it must be the same for a note to be about it: class, type, CKA_PRIVATE,
/// label and CKA_ID.
using Name = std::tuple<CK_OBJECT_CLASS, CK_ULONG, bool, std::string, std::string>;

/// Of a Subject or an Identity.
template <class Named>
Name nameOf(const Named& named) {
  const auto text = [](const std::vector<std::uint8_t>& bytes) { return std::string(bytes.begin(), bytes.end()); };
  return {named.objectClass, named.type, named.isPrivate, text(named.label), text(named.id)};
}

/// As change records and tombstones tell. Owned by whoever made it; const from then on.
class Names {
 public:
  explicit Names(const std::vector<Note>& notes);

  /// What else an object of that name was called, or is called where a change was missed; itself among them. Label and
  /// CKA_ID each by themselves: a member may have missed the change of the one and not of the other.
  std::set<Name> of(const Name& name) const;
  /// Has an object of one of those names been destroyed, and not been made anew?
  bool tellOfEnd(const std::set<Name>& names) const;

 private:
  using Kind = std::tuple<CK_OBJECT_CLASS, CK_ULONG, bool>;
  using Links = std::multimap<std::pair<Kind, std::string>, std::string>;
  static std::set<std::string> reach(const Links& links, const Kind& kind, const std::string& from);
  static void link(Links& links, const Kind& kind, const std::string& one, const std::string& other);

  Links labels_;
  Links ids_;
  std::set<Name> ended_;
};

}  // namespace p11ha::ha::notes
