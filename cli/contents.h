// What members hold, side by side. Compared by what objects show of themselves: an inventory, no proof ("Identity" in
// CLONING.md).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/secure_bytes.h"
#include "cli/tokens.h"
#include "ha/identity.h"

namespace p11ha::cli {

/// An object that a user made, on the members that hold one like it.
struct Item {
  ha::Identity identity;
  std::vector<CK_OBJECT_HANDLE> handles;  ///< one for each member; CK_INVALID_HANDLE: it is not there
  bool isSealed = false;                  ///< a key that no member gives out: not extractable (Depth::Seals)
};

/// How much is asked of each object.
enum class Depth { Identity, Seals };

struct Contents {
  std::vector<Item> items;  ///< by label, class and ID
  std::vector<CK_RV> read;  ///< for each member; not CKR_OK: its objects are not known

  /// Some member that could be read lacks what another holds.
  bool needsSync() const;
  /// The same of all members that are there, as the reference has it: what one lacks that is down is made up when it
  /// comes back, and its state is listed beside. nullopt: nobody can tell, as one that is there could not be read, or
  /// none is.
  std::optional<bool> needsSyncAtAll() const;
  /// Why nothing is known: no member could be read.
  std::optional<Trouble> nothingRead() const;
  /// Objects that members that could be read lack, those of each added up.
  std::size_t missing() const;
  /// Objects on that member.
  std::size_t count(std::size_t member) const;
};

/// Reads the token objects of members, in their order, p11ha's own left out; nullptr: one that nobody shows. All of
/// them take the same PIN; without one only public objects are seen. The first member that refuses it ends the reading:
/// no other is asked. Blocks as the members' calls do.
base::Result<Contents, Trouble> readContents(std::span<const Token* const> members, const base::SecureBytes* pin,
                                             Depth depth = Depth::Identity);

/// Destroys all that the user made on that token, p11ha's own objects stay.
std::optional<Trouble> removeContents(const Token& token, const base::SecureBytes& pin);

/// "Private Key", "Data" ...
std::string kindOf(const ha::Identity& identity);
/// The label, escaped for a terminal, or as it is.
std::string labelOf(const ha::Identity& identity);
std::string plainLabelOf(const ha::Identity& identity);

}  // namespace p11ha::cli
