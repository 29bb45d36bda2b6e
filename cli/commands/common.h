// What the commands of several subjects have in common.
#pragma once

#include <string>
#include <string_view>
#include <system_error>

#include "cli/command.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "config/schema.h"

namespace p11ha::cli {

/// The options that mean a group, or ask for JSON.
inline Option groupOption(Need need) {
  return {"group", Value::Group, "label", need, "The group: its label or its number"};
}
inline Option jsonOption() {
  return {"json", Value::None, "", Need::Optional, "One JSON document instead of the text"};
}

/// "label:" so that all labels of a table end in one column, then the value.
std::string row(std::string_view label, const std::string& value, std::size_t width, std::string_view gap);

/// Whether a group has a member, among all or among those on standby.
bool isMember(const config::Group& group, const std::string& serial);

/// A path as others find it, with other working directories. `..` is the parent of where a link leads, as for the
/// system. Empty: `failed` says why.
std::string absolutePath(const std::string& given, std::error_code& failed);

bool isDirectory(const std::string& path);
/// What option -path names, as others find it. Trouble: it is no directory that exists.
base::Result<std::string, Trouble> existingDirectory(const std::string& given);

/// Writes one key of the configuration, from what the user gave for an option.
std::optional<Trouble> set(config::Document& document, std::string_view option, std::string_view section,
                           std::string_view key, const config::Place& place, const std::string& value);

/// Changes nothing but that key.
base::Result<config::Settings, Trouble> setAlone(Session& session, std::string_view option, std::string_view section,
                                                 std::string_view key, const std::string& value);

/// Changes one group of the configuration: what it is then.
base::Result<config::Group, Trouble> changeGroup(Session& session, const std::string& name,
                                                 const std::function<std::optional<Trouble>(config::Group&)>& edit);

}  // namespace p11ha::cli
