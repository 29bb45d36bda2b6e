// Compares what the members hold with what the journals say.
#pragma once

#include <string>
#include <vector>

#include "testbed/history/story.h"

namespace p11ha::history {

struct MemberListing {
  std::string name;
  std::vector<Line> objects;  // listing.h
};

struct Findings {
  std::vector<std::string> wrong;  // a line each
  std::size_t objects = 0;         // that are on all members
  std::size_t leftOver = 0;        // among them: of calls that were not answered CKR_OK
  std::size_t own = 0;             // p11ha's own, of all members
};

/// Pure. Every object acknowledged and not destroyed is on every member, once, as the journals say and the same on all,
/// and works; no destroyed one is there, and no other, save a whole one whose call was not answered CKR_OK.
Findings check(const Story& story, const std::vector<MemberListing>& members);

}  // namespace p11ha::history
