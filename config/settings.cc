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

Settings read(const Document& document) {
  Draft draft;
  Diagnostics diagnostics(document.file());
  document.diagnose(diagnostics, isOurSection);
  gather(document, draft, diagnostics);
  settleGroups(draft, diagnostics);
  settleServers(draft, diagnostics);
  settleModules(draft, diagnostics);
  draft.settings.diagnostics = diagnostics.take();
  return std::move(draft.settings);
}

}  // namespace p11ha::config
