// Taking a module or a server out of the configuration, which then leads to its tokens no more.
#include <algorithm>

#include "cli/commands/common.h"
#include "cli/commands/subjects.h"
#include "cli/tokens.h"
#include "config/text.h"

namespace p11ha::cli {
namespace {

using base::Failure;
using config::Document;
using config::equalsIgnoringCase;
using config::inQuotes;
using config::Settings;

constexpr const char* kServerSection = "LunaSA Client";
constexpr const char* kModuleSection = "p11ha";

// A module or a server as it is written, sound or not.
struct Source {
  unsigned number = 0;
  std::string name;  // that tells it from the others
};

// How one kind of them is found and taken out.
struct Kind {
  std::string_view word;
  std::string_view toTell;  // the options that tell those apart which have one name
  std::vector<Source> (*all)(const Document&);
  bool (*isMeant)(const Document&, unsigned number, const Arguments&);
  void (*drop)(Document&, unsigned number);
  void (*keepAlone)(Settings&, unsigned number);
};

std::string written(const Document& document, std::string_view section, std::string_view key, unsigned number) {
  return document.get(section, config::spelledIn(document, section, key, {number, {}})).value_or("");
}

void dropKey(Document& document, std::string_view section, std::string_view key, unsigned number) {
  while (config::drop(document, section, key, {number, {}})) {
  }
}

template <class Element>
void keepNumber(std::vector<Element>& elements, unsigned number) {
  std::erase_if(elements, [&](const Element& element) { return element.number != number; });
}

std::string portOf(const Document& document, unsigned number) {
  const std::string port = written(document, kServerSection, "ServerPortNN", number);
  return port.empty() ? std::to_string(config::Server().port) : port;
}

// The vendor's own key of a server.
void dropHtl(Document& document, unsigned number) {
  constexpr std::string_view kHtl = "ServerHtl";
  for (const config::Entry& entry : document.entries(kServerSection)) {
    const bool isHtl = equalsIgnoringCase(std::string_view(entry.key).substr(0, kHtl.size()), kHtl);
    if (isHtl && slotNumber(entry.key.substr(kHtl.size())) == number) document.eraseKey(kServerSection, entry.key);
  }
}

const Kind kServer{"server",
                   "-port",
                   [](const Document& document) {
                     std::vector<Source> servers;
                     for (const unsigned number : config::numbersOf(document, kServerSection, "ServerNameNN")) {
                       const std::string name = written(document, kServerSection, "ServerNameNN", number);
                       if (!name.empty()) servers.push_back({number, name + ":" + portOf(document, number)});
                     }
                     return servers;
                   },
                   [](const Document& document, unsigned number, const Arguments& arguments) {
                     const std::string name = written(document, kServerSection, "ServerNameNN", number);
                     const std::string port = portOf(document, number);
                     return equalsIgnoringCase(name, arguments.text("server")) &&
                            slotNumber(arguments.find("port").value_or(port)) == slotNumber(port);
                   },
                   [](Document& document, unsigned number) {
                     for (const std::string_view key : {"ServerNameNN", "ServerPortNN"})
                       dropKey(document, kServerSection, key, number);
                     dropHtl(document, number);
                   },
                   [](Settings& settings, unsigned number) {
                     keepNumber(settings.client.servers, number);
                     settings.tuning.modules.clear();
                   }};

const Kind kModule{
    "module",
    "-slot or -serialNumber",
    [](const Document& document) {
      std::vector<Source> modules;
      for (const unsigned number : config::numbersOf(document, kModuleSection, "ModuleNNPath")) {
        std::string name = written(document, kModuleSection, "ModuleNNPath", number);
        for (const auto& [key, word] : {std::pair("ModuleNNSlot", " slot "), std::pair("ModuleNNSerial", " serial ")}) {
          const std::string value = written(document, kModuleSection, key, number);
          if (!value.empty()) name += word + value;
        }
        modules.push_back({number, name});
      }
      return modules;
    },
    [](const Document& document, unsigned number, const Arguments& arguments) {
      std::error_code failed;
      const std::string path = written(document, kModuleSection, "ModuleNNPath", number);
      const std::string given = arguments.text("path");
      const auto fits = [&](std::string_view option, std::string_view key) {
        const auto value = arguments.find(option);
        return !value || equalsIgnoringCase(*value, written(document, kModuleSection, key, number));
      };
      return (path == given || path == absolutePath(given, failed)) && fits("slot", "ModuleNNSlot") &&
             fits("serialNumber", "ModuleNNSerial");
    },
    [](Document& document, unsigned number) {
      for (const std::string_view key : {"ModuleNNPath", "ModuleNNReserved", "ModuleNNSlot", "ModuleNNSerial"})
        dropKey(document, kModuleSection, key, number);
    },
    [](Settings& settings, unsigned number) {
      keepNumber(settings.tuning.modules, number);
      settings.client.servers.clear();
    }};

base::Result<Source, Trouble> pick(const Kind& kind, const Document& document, const Arguments& arguments,
                                   const std::string& given) {
  std::vector<Source> candidates = kind.all(document);
  std::vector<Source> meant;
  for (const Source& source : candidates) {
    if (kind.isMeant(document, source.number, arguments)) meant.push_back(source);
  }
  if (meant.size() == 1) return meant.front();
  const std::string word(kind.word);
  if (!meant.empty()) candidates = meant;
  std::vector<std::string> names;
  names.reserve(candidates.size());
  for (const Source& source : candidates) names.push_back(source.name);
  if (names.empty())
    return Failure{Trouble{CKR_ARGUMENTS_BAD, "there is no " + word + " " + inQuotes(given) + ", nor any other", {}}};
  return Failure{Trouble{
      CKR_ARGUMENTS_BAD,
      (meant.empty() ? "there is no " : "ambiguous ") + word + " " + inQuotes(given) + "; there are " + listed(names),
      "Name one" + (meant.empty() ? "" : ", by " + std::string(kind.toTell)) + "; nothing was changed."}};
}

// What tokens it, or all else, leads to; members of groups only where they are shown.
Settings withoutGroups(Settings settings) {
  settings.groups.clear();
  return settings;
}

Trouble isThere(const std::string& member, const std::string& what) {
  return {CKR_ARGUMENTS_BAD, member + " is on " + what,
          "Take it out of the group first: hagroup removeMember. Nothing was changed."};
}

Trouble mayBeThere(const std::string& member, const std::string& what) {
  return {CKR_ARGUMENTS_BAD, member + " may be on " + what + ": nobody shows it now",
          "Try again once it is there, take it out of the group first (hagroup removeMember), or say -force. "
          "Nothing was changed."};
}

// A member that nothing else shows would be lost to its group.
std::optional<Trouble> stranding(const std::vector<config::Group>& groups, const std::string& what, const Tokens& its,
                                 const Tokens& others, bool isForced) {
  for (const config::Group& group : groups) {
    for (const std::string& serial : group.members) {
      const Token* const elsewhere = others.find(serial);
      if (elsewhere != nullptr && elsewhere->isThere()) continue;
      const bool isKnown = its.find(serial) != nullptr;
      if (!isKnown && isForced) continue;
      const std::string member = "member " + serial + " of group " + inQuotes(group.label);
      return isKnown ? isThere(member, what) : mayBeThere(member, what);
    }
  }
  return std::nullopt;
}

Answer remove(Session& session, const Arguments& arguments, const Kind& kind, const std::string& given) {
  std::string what;
  Settings alone;
  Settings rest;
  const auto take = [&](Document& document, const Settings& now) -> std::optional<Trouble> {
    const auto source = pick(kind, document, arguments, given);
    if (!source) return source.error();
    what = std::string(kind.word) + " " + source->name;
    alone = withoutGroups(now);
    kind.keepAlone(alone, source->number);
    kind.drop(document, source->number);
    rest = withoutGroups(config::read(document));
    return std::nullopt;
  };
  // Not under the lock: servers take their time.
  if (auto trouble = session.rehearse(take)) return Failure{*std::move(trouble)};
  const Tokens its(alone);
  const Tokens others(rest);
  const auto saved = session.change([&](Document& document, const Settings& now) -> std::optional<Trouble> {
    if (auto trouble = take(document, now)) return trouble;
    return stranding(now.groups, what, its, others, arguments.has("force"));
  });
  if (!saved) return Failure{saved.error()};
  what.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(what.front())));
  return Reply{sentence(what + " was successfully removed.") +
               sentence("Applications that run have it until they start anew; its files stay where they are.")};
}

Answer removeServer(Session& session, const Arguments& arguments) {
  return remove(session, arguments, kServer, arguments.text("server"));
}

Answer removeModule(Session& session, const Arguments& arguments) {
  return remove(session, arguments, kModule, arguments.text("path"));
}

Option forceOption() {
  return {"force", Value::None, "", Need::Optional, "Also where members may be on it that nobody shows now"};
}

}  // namespace

std::vector<Command> clientRemovalCommands() {
  return {
      {"client",
       "removeModule",
       "",
       "Removes a module on which no group has a member",
       {{"path", Value::Path, "module", Need::Required, "The module's shared object"},
        {"slot", Value::Number, "id", Need::Optional, "Its slot as it is configured, where it is there several times"},
        {"serialNumber", Value::Text, "SN", Need::Optional, "Likewise what its token is called"},
        forceOption()},
       removeModule},
      {"client",
       "removeServer",
       "",
       "Removes an appliance on which no group has a member",
       {{"server", Value::Server, "host", Need::Required, "Its name or address"},
        {"port", Value::Number, "port", Need::Optional, "Its port, where it is there several times"},
        forceOption()},
       removeServer}};
}

}  // namespace p11ha::cli
