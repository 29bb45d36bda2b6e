#include "cli/session.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "base/file_stamp.h"
#include "config/load.h"
#include "config/lock.h"
#include "config/save.h"
#include "config/text.h"

namespace p11ha::cli {

using base::Failure;

namespace {

constexpr std::chrono::seconds kPatience{10};  // for another manager

struct FileRead {
  config::Document document;
  std::optional<base::FileStamp> stamp;  // nullopt: there is no file
};

Trouble unreadable(const config::Diagnostic& problem) {
  return {CKR_FUNCTION_FAILED, problem.format(),
          "Name the configuration by P11HA_CONF, or its directory by ChrystokiConfigurationPath."};
}

base::Result<FileRead, Trouble> readFile(const std::string& path) {
  auto loaded = config::load(path);
  if (loaded) return FileRead{std::move(loaded->document), loaded->stamp};
  const int why = errno;
  if (why == ENOENT && !base::stampOf(path)) return FileRead{config::Document::parse({}, path), std::nullopt};
  return Failure{unreadable(loaded.error())};
}

std::vector<std::string> errorsOf(const config::Settings& settings) {
  std::vector<std::string> errors;
  for (const config::Diagnostic& each : settings.diagnostics) {
    if (each.severity == config::Severity::Error) errors.push_back(each.key + ": " + each.text);
  }
  return errors;
}

// An error of the changed configuration that it did not have before. Lines may have moved.
std::optional<std::string> newError(const config::Settings& before, const config::Settings& after) {
  std::vector<std::string> old = errorsOf(before);
  for (const std::string& each : errorsOf(after)) {
    const auto known = std::find(old.begin(), old.end(), each);
    if (known == old.end()) return each;
    old.erase(known);
  }
  return std::nullopt;
}

}  // namespace

base::Result<config::Settings, Trouble> Session::settings() {
  const auto file = readFile(configuration_);
  if (!file) return Failure{file.error()};
  const std::string missing = configuration_ + ": there is no such file; defaults hold until one is made\n";
  if (!file->stamp && noted_.insert(missing).second) console_.note(missing);
  config::Settings settings = config::read(file->document);
  note(settings);
  return settings;
}

void Session::note(const config::Settings& settings) {
  for (const config::Diagnostic& each : settings.diagnostics) {
    const std::string line = each.format();
    if (each.severity == config::Severity::Error && noted_.insert(line).second) console_.note(line + "\n");
  }
}

base::Result<config::Settings, Trouble> Session::change(const Edit& edit, const LastStep& last) {
  const auto lock = config::lock(configuration_, kPatience);
  if (!lock) return Failure{Trouble{CKR_FUNCTION_FAILED, lock.error().format(), kUnchanged}};
  config::removeLeftovers(configuration_);
  auto file = readFile(configuration_);
  if (!file) return Failure{file.error()};
  config::Document changed = file->document;
  auto cut = changed.unfinished();
  if (cut) {
    // Where no more than the end of a line is missing: some editors leave it out. save() sees who goes on writing.
    changed.endLastLine();
    cut = changed.unfinished();
  }
  if (cut) {
    return Failure{Trouble{CKR_FUNCTION_FAILED, cut->format(), "Mend the file first; nothing was changed."}};
  }
  const config::Settings before = config::read(file->document);
  note(before);
  if (auto trouble = edit(changed, before)) return Failure{*std::move(trouble)};
  config::Settings after = config::read(changed);
  if (const auto error = newError(before, after)) {
    return Failure{Trouble{CKR_ARGUMENTS_BAD, "the configuration would be wrong: " + *error, kUnchanged}};
  }
  if (changed.text() == file->document.text()) return after;
  std::optional<Trouble> refused;
  const auto saved = config::save(configuration_, changed.text(), file->stamp, [&] {
    if (last) refused = last();
    return !refused;
  });
  if (refused) return Failure{*std::move(refused)};
  if (!saved) {
    return Failure{Trouble{CKR_FUNCTION_FAILED, saved.error().format(), kUnchanged}};
  }
  return after;
}

std::optional<Trouble> Session::rehearse(const Edit& edit) {
  bool reached = false;
  const auto done = change(edit, [&] {
    reached = true;
    return std::optional(Trouble{});
  });
  return reached || done ? std::nullopt : std::optional(done.error());
}

base::Result<config::Group, Trouble> findGroup(const config::Settings& settings, const std::string& name) {
  std::vector<const config::Group*> found;
  std::vector<const config::Group*> alike;  // but for case
  for (const config::Group& group : settings.groups) {
    const bool isNamed = group.label == name || group.serial == name;
    if (isNamed || config::equalsIgnoringCase(group.label, name)) (isNamed ? found : alike).push_back(&group);
  }
  if (found.empty()) found = alike;
  if (found.size() == 1) return *found.front();
  std::vector<std::string> labels;
  for (const config::Group& group : settings.groups) {
    const bool fits = found.empty() || std::find(found.begin(), found.end(), &group) != found.end();
    if (fits) labels.push_back(config::inQuotes(group.label) + " (" + group.serial + ")");
  }
  if (settings.groups.empty()) {
    return Failure{Trouble{CKR_ARGUMENTS_BAD, "there is no group " + config::inQuotes(name) + ", nor any other",
                           "Make one: hagroup createGroup."}};
  }
  const std::string what = found.empty() ? "there is no group " : "ambiguous group ";
  return Failure{Trouble{CKR_ARGUMENTS_BAD, what + config::inQuotes(name) + "; there are " + listed(labels),
                         "Name one by its label or its number."}};
}

base::Result<config::Group, Trouble> sameGroup(const config::Settings& now, const config::Group& group) {
  const auto found = std::find_if(now.groups.begin(), now.groups.end(),
                                  [&](const config::Group& each) { return each.serial == group.serial; });
  if (found != now.groups.end()) return *found;
  return Failure{
      Trouble{CKR_ARGUMENTS_BAD, "group " + config::inQuotes(group.label) + " is gone meanwhile", kUnchanged}};
}

}  // namespace p11ha::cli
