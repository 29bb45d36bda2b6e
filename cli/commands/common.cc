#include "cli/commands/common.h"

#include <algorithm>
#include <filesystem>

#include "config/group_edit.h"

namespace p11ha::cli {

std::string row(std::string_view label, const std::string& value, std::size_t width, std::string_view gap) {
  const std::string indent(width > label.size() ? width - label.size() : 0, ' ');
  return indent + std::string(label) + std::string(gap) + value + "\n";
}

bool isMember(const config::Group& group, const std::string& serial) {
  return std::find(group.members.begin(), group.members.end(), serial) != group.members.end();
}

std::string absolutePath(const std::string& given, std::error_code& failed) {
  std::filesystem::path found;
  for (const std::filesystem::path& part : std::filesystem::absolute(given, failed)) {
    found /= part;
    if (part == ".." && !failed) found = std::filesystem::canonical(found, failed);
  }
  return failed ? "" : found.lexically_normal().string();
}

bool isDirectory(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

base::Result<std::string, Trouble> existingDirectory(const std::string& given) {
  const std::string what = "-path: expected an existing directory, found " + config::inQuotes(given);
  if (!isDirectory(given))
    return base::Failure{Trouble{CKR_ARGUMENTS_BAD, what, "Make it first; nothing was changed."}};
  std::error_code failed;
  std::string path = absolutePath(given, failed);
  if (failed) return base::Failure{Trouble{CKR_ARGUMENTS_BAD, what + ": " + failed.message(), kUnchanged}};
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::optional<Trouble> set(config::Document& document, std::string_view option, std::string_view section,
                           std::string_view key, const config::Place& place, const std::string& value) {
  const auto done = config::put(document, section, key, place, value);
  if (done) return std::nullopt;
  return Trouble{CKR_ARGUMENTS_BAD, "-" + std::string(option) + ": " + done.error(), kUnchanged};
}

base::Result<config::Settings, Trouble> setAlone(Session& session, std::string_view option, std::string_view section,
                                                 std::string_view key, const std::string& value) {
  return session.change([&](config::Document& document, const config::Settings&) {
    return set(document, option, section, key, {}, value);
  });
}

base::Result<config::Group, Trouble> changeGroup(Session& session, const std::string& name,
                                                 const std::function<std::optional<Trouble>(config::Group&)>& edit) {
  std::optional<config::Group> changed;
  const auto done = session.change([&](config::Document& document, const config::Settings& now) {
    const auto group = findGroup(now, name);
    if (!group) return std::optional(group.error());
    changed = *group;
    if (auto trouble = edit(*changed)) return trouble;
    const auto written = config::putGroup(document, *changed);
    return written ? std::nullopt : std::optional(Trouble{CKR_ARGUMENTS_BAD, written.error(), kUnchanged});
  });
  if (!done) return base::Failure{done.error()};
  return *changed;
}

}  // namespace p11ha::cli
