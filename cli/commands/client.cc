// The modules and servers that the configuration leads to.
#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <tuple>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/tokens.h"
#include "compose/remote_tokens.h"
#include "config/text.h"

namespace p11ha::cli {
namespace {

using base::Failure;

constexpr const char* kServers = "LunaSA Client";

// The lowest that none of these keys has.
unsigned freeNumber(const config::Document& document, std::string_view section,
                    std::initializer_list<std::string_view> keys) {
  unsigned number = 0;
  const auto isTaken = [&](std::string_view key) {
    return document.get(section, config::spelledIn(document, section, key, {number, {}})).has_value();
  };
  while (std::any_of(keys.begin(), keys.end(), isTaken)) ++number;
  return number;
}

std::string tokensThere(const config::Settings& settings, Console& console) {
  const Tokens tokens(settings, console);
  const auto there =
      std::count_if(tokens.all().begin(), tokens.all().end(), [](const Token& token) { return token.isThere(); });
  return sentence("Tokens there are now: " + std::to_string(there) + " (slot list).");
}

Answer addModule(Session& session, const Arguments& arguments) {
  std::error_code failed;
  const std::string path = absolutePath(arguments.text("path"), failed);
  struct stat found {};
  if (failed || stat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) {
    return Failure{Trouble{CKR_ARGUMENTS_BAD,
                           "-path: expected a PKCS#11 module, found " + config::inQuotes(arguments.text("path")),
                           kUnchanged}};
  }
  // A member is listed by it, among others.
  const std::string serial = arguments.text("serialNumber");
  if (serial.find_first_of(" \t,") != std::string::npos) {
    return Failure{Trouble{CKR_ARGUMENTS_BAD,
                           "-serialNumber: expected one without blanks and commas, found " + config::inQuotes(serial),
                           kUnchanged}};
  }
  if (auto trouble = tryModule(path, arguments.text("reserved"))) return Failure{*std::move(trouble)};
  const auto saved = session.change([&](config::Document& document, const config::Settings&) -> std::optional<Trouble> {
    const config::Place place{freeNumber(document, "p11ha", {"ModuleNNPath", "ModuleNNSlot", "ModuleNNSerial"}), {}};
    const std::pair<std::string_view, std::string_view> keys[] = {
        {"reserved", "ModuleNNReserved"}, {"slot", "ModuleNNSlot"}, {"serialNumber", "ModuleNNSerial"}};
    if (auto trouble = set(document, "path", "p11ha", "ModuleNNPath", place, path)) return trouble;
    for (const auto& [option, key] : keys) {
      const auto value = arguments.find(option);
      if (!value) continue;
      if (auto trouble = set(document, option, "p11ha", key, place, *value)) return trouble;
    }
    const config::Settings changed = config::read(document);
    const auto& modules = changed.tuning.modules;
    const auto added = std::find_if(modules.begin(), modules.end(),
                                    [&](const config::Module& module) { return module.number == place.number; });
    const auto isAsAdded = [&](const config::Module& module) {
      return std::tie(module.path, module.reserved, module.slot) == std::tie(added->path, added->reserved, added->slot);
    };
    if (added != modules.end() && std::count_if(modules.begin(), modules.end(), isAsAdded) > 1)
      return Trouble{CKR_ARGUMENTS_BAD, "module " + path + " is configured already", kUnchanged};
    return std::nullopt;
  });
  if (!saved) return Failure{saved.error()};
  return Reply{sentence("Module " + path + " was successfully added.") + tokensThere(*saved, session.console())};
}

struct CredentialFile {
  std::string_view option;
  std::string_view key;
  std::string_view help;
};
constexpr CredentialFile kCredentials[] = {
    {"caFile", "ServerCAFile", "The authorities that the servers' certificates come from, in PEM"},
    {"certFile", "ClientCertFile", "This client's certificate, in PEM"},
    {"keyFile", "ClientPrivKeyFile", "Its private key, in PEM"}};

Answer initialize(Session& session, const Arguments& arguments) {
  std::vector<std::string> paths;
  for (const CredentialFile& file : kCredentials) {
    std::error_code failed;
    const std::string given = arguments.text(file.option);
    paths.push_back(absolutePath(given, failed));
    struct stat found {};
    const std::string& path = paths.back();
    if (!failed && stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) && access(path.c_str(), R_OK) == 0)
      continue;
    return Failure{
        Trouble{CKR_ARGUMENTS_BAD,
                "-" + std::string(file.option) + ": expected a file that can be read, found " + config::inQuotes(given),
                kUnchanged}};
  }
  const auto saved = session.change([&](config::Document& document, const config::Settings&) -> std::optional<Trouble> {
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (auto trouble = set(document, kCredentials[i].option, kServers, kCredentials[i].key, {}, paths[i]))
        return trouble;
    }
    if (const auto problem = compose::RemoteTokens::problemOfFiles(config::read(document)))
      return Trouble{CKR_ARGUMENTS_BAD, *problem, kUnchanged};
    return std::nullopt;
  });
  if (!saved) return Failure{saved.error()};
  return Reply{sentence("This client now has a certificate: " + paths[1] + ".") +
               sentence("Name the servers that it goes to: client addServer.")};
}

// As certificates have them: neither a URL, nor an address with its port or in brackets.
bool mayBeHost(const std::string& name) {
  constexpr std::size_t kLongest = 253;
  const auto isOfName = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_'; };
  in6_addr address{};
  if (inet_pton(AF_INET6, name.substr(0, name.find('%')).c_str(), &address) == 1) return true;
  return !name.empty() && name.size() <= kLongest && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), isOfName);
}

Answer addServer(Session& session, const Arguments& arguments) {
  const std::string name = arguments.text("server");
  if (!mayBeHost(name)) {
    return Failure{Trouble{CKR_ARGUMENTS_BAD, "-server: expected a name or an address, found " + config::inQuotes(name),
                           kUnchanged}};
  }
  const auto saved =
      session.change([&](config::Document& document, const config::Settings& now) -> std::optional<Trouble> {
        if (now.client.caFile.empty() || now.client.certificateFile.empty() || now.client.privateKeyFile.empty()) {
          return Trouble{CKR_ARGUMENTS_BAD, "this client has no certificate to show to a server",
                         "Name it first: client init. Nothing was changed."};
        }
        const std::string port = arguments.find("port").value_or(std::to_string(config::Server().port));
        for (const config::Server& server : now.client.servers) {
          if (!config::equalsIgnoringCase(server.name, name) || server.port != slotNumber(port)) continue;
          return Trouble{CKR_ARGUMENTS_BAD, "server " + name + " is configured already", kUnchanged};
        }
        const config::Place place{freeNumber(document, kServers, {"ServerNameNN", "ServerPortNN"}), {}};
        if (auto trouble = set(document, "server", kServers, "ServerNameNN", place, name)) return trouble;
        return arguments.has("port") ? set(document, "port", kServers, "ServerPortNN", place, port) : std::nullopt;
      });
  if (!saved) return Failure{saved.error()};
  return Reply{sentence("Server " + name + " was successfully added.") + tokensThere(*saved, session.console())};
}

std::vector<Option> credentialOptions() {
  std::vector<Option> options;
  for (const CredentialFile& file : kCredentials)
    options.push_back({file.option, Value::Path, "file", Need::Required, file.help});
  return options;
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
       addModule},
      {"client", "init", "", "Names the certificate by which servers know this client", credentialOptions(),
       initialize},
      {"client",
       "addServer",
       "",
       "Adds an appliance, whose partitions can become members",
       {{"server", Value::Text, "host", Need::Required, "Its name or address, as its certificate has it"},
        {"port", Value::Number, "port", Need::Optional, "1792 otherwise"}},
       addServer}};
}

}  // namespace p11ha::cli
