// The modules and servers that the configuration leads to.
#include <sys/stat.h>

#include <algorithm>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/tokens.h"

namespace p11ha::cli {
namespace {

using base::Failure;

unsigned freeModuleNumber(const config::Document& document) {
  unsigned number = 0;
  const auto isTaken = [&](std::string_view key) {
    const std::string spelled = config::spelledIn(document, "p11ha", key, {number, {}});
    return document.get("p11ha", spelled).has_value();
  };
  while (isTaken("ModuleNNPath") || isTaken("ModuleNNSlot") || isTaken("ModuleNNSerial")) ++number;
  return number;
}

Answer addModule(Session& session, const Arguments& arguments) {
  std::error_code failed;
  const std::string path = absolutePath(arguments.text("path"), failed);
  struct stat found {};
  if (failed || stat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) {
    return Failure{Trouble{CKR_ARGUMENTS_BAD,
                           "-path: expected a PKCS#11 module, found " + config::inQuotes(arguments.text("path")),
                           "Nothing was changed."}};
  }
  // A member is listed by it, among others.
  const std::string serial = arguments.text("serialNumber");
  if (serial.find_first_of(" \t,") != std::string::npos) {
    return Failure{Trouble{CKR_ARGUMENTS_BAD,
                           "-serialNumber: expected one without blanks and commas, found " + config::inQuotes(serial),
                           "Nothing was changed."}};
  }
  if (auto trouble = tryModule(path, arguments.text("reserved"))) return Failure{*std::move(trouble)};
  const auto saved = session.change([&](config::Document& document, const config::Settings&) -> std::optional<Trouble> {
    const config::Place place{freeModuleNumber(document), {}};
    const std::pair<std::string_view, std::string_view> keys[] = {
        {"reserved", "ModuleNNReserved"}, {"slot", "ModuleNNSlot"}, {"serialNumber", "ModuleNNSerial"}};
    if (auto trouble = set(document, "path", "p11ha", "ModuleNNPath", place, path)) return trouble;
    for (const auto& [option, key] : keys) {
      const auto value = arguments.find(option);
      if (!value) continue;
      if (auto trouble = set(document, option, "p11ha", key, place, *value)) return trouble;
    }
    return std::nullopt;
  });
  if (!saved) return Failure{saved.error()};
  const Tokens tokens(*saved, session.console());
  const auto there =
      std::count_if(tokens.all().begin(), tokens.all().end(), [](const Token& token) { return token.isThere(); });
  return Reply{sentence("Module " + path + " was successfully added.") +
               sentence("Tokens there are now: " + std::to_string(there) + " (slot list).")};
}

}  // namespace

std::vector<Command> clientCommands() {
  return {
      {"client",
       "addModule",
       "",
       "Adds a PKCS#11 module of this host, whose tokens can become members",
       {{"path", Value::Path, "module", Need::Required, "The module's shared object"},
        {"reserved", Value::Text, "text", Need::Optional, "What its C_Initialize is given, as NSS softokn wants it"},
        {"slot", Value::Number, "id", Need::Optional, "The module's own slot that is meant; all otherwise"},
        {"serialNumber", Value::Text, "SN", Need::Optional, "What the token is called instead of its own number"}},
       addModule}};
}

}  // namespace p11ha::cli
