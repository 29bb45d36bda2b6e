// Groups written into a configuration: all keys of one, in whichever sections they stand.
#pragma once

#include <optional>
#include <string_view>

#include "config/document.h"
#include "config/settings.h"

namespace p11ha::config {

/// The lowest NN that no key VirtualTokenNN... of the document has, a faulty group's neither.
unsigned freeGroupNumber(const Document& document);

/// Number, label and serial number of the group that is written under this label or serial number, sound or not;
/// nullopt: none, or several.
std::optional<Group> findWritten(const Document& document, std::string_view name);

/// Writes label, serial number, members, standby members and synchronisation of the group, new or there already, under
/// its number. What the document has of it and says the same stays as it is. One thread per document, as what follows.
/// Refused as Document::set() does; then part of it may have been written: work on a copy.
Edit putGroup(Document& document, const Group& group);

/// Removes every key of the group, its comments too; without a label those of its number.
void dropGroup(Document& document, const Group& group);

}  // namespace p11ha::config
