// Which objects a member lacks and where to get them: pure.
#pragma once

#include <optional>
#include <vector>

#include "ha/policy.h"

namespace p11ha::ha {

/// An object as the plan sees it.
struct SyncObject {
  bool alive = true;
  bool onTarget = false;   // there, or something there that cannot be told from it
  MemberMask sources = 0;  // members that certainly hold it and can be asked
};

/// Copy object `object` (its index) from `source`.
struct CopyAction {
  std::size_t object = 0;
  unsigned source = 0;
  friend bool operator==(const CopyAction&, const CopyAction&) = default;
};

/// What is missing on the target, each from the first member of the list that holds it. Nothing is ever removed:
/// deletions made while the member was away are not known here.
std::vector<CopyAction> plan(const std::vector<SyncObject>& objects);

}  // namespace p11ha::ha
