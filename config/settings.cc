#include "config/settings.h"

#include <algorithm>
#include <utility>

#include "config/draft.h"
#include "config/schema.h"
#include "config/text.h"

namespace p11ha::config {

bool Settings::hasErrors() const {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& each) { return each.severity == Severity::Error; });
}

namespace {

void describe(const Document& document, Settings& settings) {
  settings.unfinished = document.unfinished();
  for (std::string& name : document.sections()) {
    if (!isOurSection(name)) continue;
    if (!document.entries(name).empty()) settings.lastFilled = name;
    settings.sections.push_back(std::move(name));
  }
  const std::string& text = document.text();
  settings.lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  if (!text.empty() && text.back() != '\n') ++settings.lines;
}

}  // namespace

Settings read(const Document& document) {
  Draft draft;
  Diagnostics diagnostics(document.file());
  document.diagnose(diagnostics, isOurSection);
  gather(document, draft, diagnostics);
  settleGroups(draft, diagnostics);
  settleServers(draft, diagnostics);
  settleModules(draft, diagnostics);
  describe(document, draft.settings);
  draft.settings.diagnostics = diagnostics.take();
  return std::move(draft.settings);
}

}  // namespace p11ha::config
