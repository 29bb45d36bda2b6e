// How groups are listed.
#pragma once

#include <optional>
#include <string>

#include "cli/contents.h"
#include "cli/tokens.h"

namespace p11ha::cli {

/// What is known of one group. Borrows; for the moment it is shown.
struct GroupFacts {
  const config::Group& group;
  const config::Settings& settings;
  const Tokens& tokens;
  std::optional<unsigned> slot{};      ///< of the group; nullopt: it has none yet
  const Contents* contents = nullptr;  ///< nullptr: nobody was logged in
};

/// "HA auto recovery:  enabled" ...: what all groups have in common. Pure; as what follows.
std::string settingsText(const config::Settings& settings);
Json settingsJson(const config::Settings& settings);

/// "HA Group Label:  myHAgroup" ... and the table of its members.
std::string groupText(const GroupFacts& facts);
Json groupJson(const GroupFacts& facts);

/// "yes", "no", or "unknown" where there was no PIN, or not one member could be read.
std::string needsSyncText(const Contents* contents);

}  // namespace p11ha::cli
