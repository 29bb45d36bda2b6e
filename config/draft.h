// What read() has gathered from the file before groups, servers and modules are checked as wholes. Internal to config.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/schema.h"
#include "config/settings.h"

namespace p11ha::config {

/// What sections other than VirtualToken say of a group.
struct LabelDraft {
  bool synchronize = true;
  std::uint64_t recoveryCounter = 0;
  std::vector<std::string> standby;
};

/// Where a key was met. A line of 0: nowhere.
struct Seen {
  std::size_t line = 0;
  std::string key;
};

struct Draft {
  Settings settings;
  std::map<unsigned, Group> groups;
  std::map<std::string, LabelDraft> labels;  ///< as section VirtualToken spells them
  std::map<unsigned, Server> servers;
  std::map<unsigned, Module> modules;
  /// By the key's name in the table; keys that hold a label by their section.
  std::map<std::string_view, std::map<Place, Seen>> seen;

  Seen where(std::string_view name, const Place& place) const {
    const auto byName = seen.find(name);
    if (byName == seen.end()) return {};
    const auto at = byName->second.find(place);
    return at == byName->second.end() ? Seen{} : at->second;
  }
};

/// Fills `draft` with all that stands in the sections of the table.
void gather(const Document& document, Draft& draft, Diagnostics& diagnostics);

/// Moves the sound groups, servers and modules of `draft` into its settings.
void settleGroups(Draft& draft, Diagnostics& diagnostics);
void settleServers(Draft& draft, Diagnostics& diagnostics);
void settleModules(Draft& draft, Diagnostics& diagnostics);

}  // namespace p11ha::config
