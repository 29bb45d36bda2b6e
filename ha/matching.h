// Which of a member's objects is which of the group's: pure ("Identity" in CLONING.md).
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "ha/inventory.h"

namespace p11ha::ha {

/// For each entry, the index of the known identity it is, or nothing; `ambiguous` entries look like several, and so are
/// left alone, as are the known ones that they look like.
struct Matches {
  std::vector<std::optional<std::size_t>> known;
  std::vector<bool> ambiguous;
  std::vector<bool> knownAmbiguous;
};

/// Of an entry and a known identity of the same material and other names, by index: may they be one object, which was
/// renamed on one side?
using MayBeRenamed = std::function<bool(std::size_t entry, std::size_t known)>;

/// Equal identities belong together, pairwise where several public objects are equal to the byte. What is left over is
/// paired by material alone, where that leaves one candidate on either side that may have been renamed: of an object
/// there may be copies of other names. Keys that look alike without any material to tell them apart are ambiguous if
/// there are several.
Matches match(const std::vector<InventoryEntry>& entries, const std::vector<Identity>& known,
              const MayBeRenamed& mayBeRenamed);

}  // namespace p11ha::ha
