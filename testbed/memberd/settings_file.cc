#include "testbed/memberd/settings_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>

#include "config/load.h"
#include "config/text.h"

namespace p11ha::testbed {

using config::Diagnostics;
using config::Entry;
using transport::Authentication;

namespace {

constexpr unsigned kMostNumbered = 1000;

// What is gathered before partitions and clients are checked as wholes.
struct NumberedPartition {
  transport::ServedPartition partition;
  unsigned module = 0;
  std::size_t line = 0;
};
struct NumberedClient {
  transport::AllowedClient client;
  std::size_t line = 0;
};
struct Draft {
  transport::ServerSettings settings;
  std::map<unsigned, transport::ServedModule> modules;
  std::map<unsigned, NumberedPartition> partitions;
  std::map<unsigned, NumberedClient> clients;
};

// How a key is taken: what was expected instead, or nothing.
using Take = std::function<std::string(Draft&, unsigned number, const std::string& value)>;

struct Key {
  const char* section;
  const char* name;  // "NN": any number
  const char* fallback;
  const char* meaning;
  Take take;
};

template <class T>
std::string takeNumber(const std::string& value, std::uint64_t least, std::uint64_t most, T& to) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < least || number > most)
    return "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  to = static_cast<T>(number);
  return {};
}

Key number(const char* section, const char* name, const char* fallback, const char* meaning, std::uint64_t least,
           std::uint64_t most, std::uint32_t transport::ServerLimits::*member) {
  return {section, name, fallback, meaning, [=](Draft& draft, unsigned, const std::string& value) {
            return takeNumber(value, least, most, draft.settings.limits.*member);
          }};
}
Key time(const char* name, const char* fallback, const char* meaning, std::uint64_t least, std::uint64_t most,
         std::chrono::milliseconds transport::ServerLimits::*member) {
  return {"Limits", name, fallback, meaning, [=](Draft& draft, unsigned, const std::string& value) {
            std::uint64_t milliseconds = 0;
            std::string wrong = takeNumber(value, least, most, milliseconds);
            if (wrong.empty()) draft.settings.limits.*member = std::chrono::milliseconds(milliseconds);
            return wrong;
          }};
}
std::string takeText(const std::string& value, const char* what, std::string& to) {
  if (value.empty()) return what;
  to = value;
  return {};
}
template <class Place>
Key text(const char* section, const char* name, const char* fallback, const char* meaning, Place place) {
  return {section, name, fallback, meaning, [=](Draft& draft, unsigned number, const std::string& value) {
            return takeText(value, meaning, place(draft, number));
          }};
}

std::vector<std::string> listOf(const std::string& value) {
  std::vector<std::string> items;
  for (std::size_t begin = 0; begin <= value.size();) {
    const std::size_t end = std::min(value.find(',', begin), value.size());
    if (const auto item = config::trimmed(std::string_view(value).substr(begin, end - begin)); !item.empty())
      items.emplace_back(item);
    begin = end + 1;
  }
  return items;
}

std::string takeFingerprint(const std::string& value, std::string& to) {
  std::string hex;
  for (const char c : config::lowered(value)) {
    if (c == ':') continue;
    if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) return "64 hex digits, with colons or without";
    hex += c;
  }
  if (hex.size() != 64) return "64 hex digits, with colons or without";
  to = hex;
  return {};
}

std::vector<Key> makeKeys() {
  using transport::ServerLimits;
  const char* const appliance = "Appliance";
  std::vector<Key> keys;
  const auto add = [&keys](Key key) { keys.push_back(std::move(key)); };
  add(text(appliance, "Listen", "0.0.0.0", "an address or host name of this host",
           [](Draft& d, unsigned) -> std::string& { return d.settings.address; }));
  add({appliance, "Port", "1792", "0: any that is free, which it prints",
       [](Draft& d, unsigned, const std::string& value) { return takeNumber(value, 0, 65535, d.settings.port); }});
  add(text(appliance, "ClientCAFile", "", "PEM file of the authorities that clients' certificates come from",
           [](Draft& d, unsigned) -> std::string& { return d.settings.tls.authorities; }));
  add(text(appliance, "ServerCertFile", "", "PEM file of its own certificate, and the chain",
           [](Draft& d, unsigned) -> std::string& { return d.settings.tls.certificate; }));
  add(text(appliance, "ServerPrivKeyFile", "", "PEM file of its private key",
           [](Draft& d, unsigned) -> std::string& { return d.settings.tls.privateKey; }));
  add(text(appliance, "ControlSocket", "", "path of the socket for ctl; without it there is none",
           [](Draft& d, unsigned) -> std::string& { return d.settings.controlSocket; }));
  add(text(appliance, "StateFile", "", "path of a file that keeps the partitions' states over restarts",
           [](Draft& d, unsigned) -> std::string& { return d.settings.stateFile; }));
  add(text(appliance, "LogFile", "standard error", "path of the log",
           [](Draft& d, unsigned) -> std::string& { return d.settings.logFile; }));
  add({appliance, "LogLevel", "info", "error, warning, info or debug",
       [](Draft& d, unsigned, const std::string& value) {
         const auto level = transport::findLogLevel(config::lowered(value));
         if (!level) return std::string("error, warning, info or debug");
         d.settings.logLevel = *level;
         return std::string();
       }});

  const char* const limits = "Limits";
  add(number(limits, "MaxClients", "256", "applications at a time, each with a worker process", 1, 100000,
             &ServerLimits::clients));
  add(number(limits, "MaxConnections", "4096", "connections at a time", 1, 1000000, &ServerLimits::connections));
  add(number(limits, "MaxUnfinishedHandshakes", "256", "of these, connections that have not shown who they are", 1,
             100000, &ServerLimits::unfinished));
  add(number(limits, "MaxClientsPerCertificate", "128", "applications at a time with one certificate", 1, 100000,
             &ServerLimits::clientApplications));
  add(number(limits, "MaxConnectionsPerCertificate", "2048", "connections at a time with one certificate", 1, 1000000,
             &ServerLimits::clientConnections));
  add(number(limits, "MaxSessions", "4096", "sessions of an application", 1, 10000000, &ServerLimits::sessions));
  add(number(limits, "MaxInFlight", "1024", "requests in flight on a connection", 1, 65536, &ServerLimits::inFlight));
  add({limits, "MaxFrame", "17039360", "bytes of a request or an answer",
       [](Draft& d, unsigned, const std::string& value) {
         auto& frame = d.settings.limits.frame;
         std::string wrong = takeNumber(value, 65536, 1UL << 30, frame.payload);
         if (wrong.empty()) frame.outputs = std::min(frame.outputs, frame.payload - frame.payload / 8);
         return wrong;
       }});
  add(time("HandshakeTime", "5000", "ms for the handshake, and for the greeting", 10, 600000,
           &ServerLimits::handshake));
  add(time("SendTime", "30000", "ms for a client to take what it asked for", 10, 3600000, &ServerLimits::send));
  add(time("CallDeadline", "60000", "ms; a worker whose module takes longer for a call is killed", 10, 86400000,
           &ServerLimits::call));
  add(time("KeyGenCallDeadline", "2700000", "the same for key generation", 10, 86400000, &ServerLimits::keyGeneration));
  add(time("DrainTime", "10000", "ms for calls in flight when it ends", 0, 3600000, &ServerLimits::drain));
  add(time("HeartbeatInterval", "500", "ms", 10, 60000, &ServerLimits::heartbeat));

  add(text("Modules", "ModuleNNPath", "", "path of a PKCS#11 module",
           [](Draft& d, unsigned n) -> std::string& { return d.modules[n].path; }));
  add(text("Modules", "ModuleNNReserved", "", "text for its C_Initialize, as NSS softokn wants it",
           [](Draft& d, unsigned n) -> std::string& { return d.modules[n].reserved; }));

  const char* const partitions = "Partitions";
  add(text(partitions, "PartitionNNSerial", "", "the serial number of a token, or ...",
           [](Draft& d, unsigned n) -> std::string& { return d.partitions[n].partition.serial; }));
  add(text(partitions, "PartitionNNLabel", "", "... its label",
           [](Draft& d, unsigned n) -> std::string& { return d.partitions[n].partition.label; }));
  add({partitions, "PartitionNNModule", "0", "the NN of its module",
       [](Draft& d, unsigned n, const std::string& value) {
         return takeNumber(value, 0, kMostNumbered, d.partitions[n].module);
       }});
  add({partitions, "PartitionNNAuthentication", "PASSWORD", "PASSWORD or PED",
       [](Draft& d, unsigned n, const std::string& value) {
         const bool ped = config::equalsIgnoringCase(value, "PED");
         if (!ped && !config::equalsIgnoringCase(value, "PASSWORD")) return std::string("PASSWORD or PED");
         d.partitions[n].partition.authentication = ped ? Authentication::Ped : Authentication::Password;
         return std::string();
       }});
  add({partitions, "PartitionNNPedPin", "", "of PED: the user PIN that a C_Login without one stands for",
       [](Draft& d, unsigned n, const std::string& value) {
         d.partitions[n].partition.pedPin.assign(value.begin(), value.end());
         return std::string(value.empty() ? "a PIN" : "");
       }});

  const char* const clients = "Clients";
  add(text(clients, "ClientNNName", "", "the CN of a client certificate's subject, or ...",
           [](Draft& d, unsigned n) -> std::string& { return d.clients[n].client.name; }));
  add({clients, "ClientNNFingerprint", "", "... SHA-256 of the certificate, in hex",
       [](Draft& d, unsigned n, const std::string& value) {
         return takeFingerprint(value, d.clients[n].client.fingerprint);
       }});
  add({clients, "ClientNNPartitions", "", "serial numbers or labels of what it may use; *: all",
       [](Draft& d, unsigned n, const std::string& value) {
         auto& client = d.clients[n].client;
         client.partitions = listOf(value);
         client.all = client.partitions == std::vector<std::string>{"*"};
         return std::string(client.partitions.empty() ? "serial numbers or labels, or *" : "");
       }});
  return keys;
}

const std::vector<Key>& keys() {
  static const auto* const all = new std::vector<Key>(makeKeys());
  return *all;
}

// Does `name` stand for `key`, and with which number?
bool matches(const Key& key, const std::string& name, unsigned& number) {
  const std::string pattern = config::lowered(key.name);
  const std::string given = config::lowered(name);
  const auto at = std::string_view(key.name).find("NN");
  if (at == std::string::npos) return pattern == given;
  std::size_t digits = at;
  while (digits < given.size() && given[digits] >= '0' && given[digits] <= '9') ++digits;
  if (digits == at || digits - at > 3 || given.substr(0, at) != pattern.substr(0, at) ||
      given.substr(digits) != pattern.substr(at + 2))
    return false;
  std::from_chars(given.data() + at, given.data() + digits, number);
  return true;
}

void note(Draft& draft, const std::string& section, unsigned number, std::size_t line) {
  if (section == "Partitions" && draft.partitions.contains(number) && draft.partitions[number].line == 0)
    draft.partitions[number].line = line;
  if (section == "Clients" && draft.clients.contains(number) && draft.clients[number].line == 0)
    draft.clients[number].line = line;
}

void gather(const config::Document& document, Draft& draft, Diagnostics& to) {
  for (const std::string section : {"Appliance", "Limits", "Modules", "Partitions", "Clients"}) {
    std::map<std::string, std::size_t> seen;
    for (const Entry& entry : document.entries(section)) {
      unsigned number = 0;
      const auto key = std::find_if(keys().begin(), keys().end(), [&](const Key& each) {
        return section == each.section && matches(each, entry.key, number);
      });
      if (key == keys().end()) {
        to.error(entry.line, entry.key, "unknown key in section " + section);
        continue;
      }
      if (const auto [first, fresh] = seen.emplace(config::lowered(entry.key), entry.line); !fresh) {
        to.error(entry.line, entry.key, "is in line " + std::to_string(first->second) + " already");
        continue;
      }
      const std::string expected = key->take(draft, number, entry.value);
      // What is secret is not shown, however wrong.
      const bool secret = config::lowered(entry.key).ends_with("pin");
      if (!expected.empty())
        to.error(entry.line, entry.key,
                 "expected " + expected + (secret ? "" : ", found " + config::inQuotes(entry.value)));
      note(draft, section, number, entry.line);
    }
  }
  for (const std::string& section : document.sections()) {
    if (std::none_of(keys().begin(), keys().end(),
                     [&](const Key& key) { return config::sameSection(key.section, section); }))
      to.error(0, section, "unknown section");
  }
}

void settle(Draft& draft, Diagnostics& to) {
  transport::ServerSettings& settings = draft.settings;
  for (const auto& [value, key] : {std::pair{&settings.tls.authorities, "ClientCAFile"},
                                   {&settings.tls.certificate, "ServerCertFile"},
                                   {&settings.tls.privateKey, "ServerPrivKeyFile"}}) {
    if (value->empty()) to.error(0, key, "expected in section Appliance, found nowhere");
  }
  std::map<unsigned, std::size_t> places;
  for (auto& [number, module] : draft.modules) {
    if (module.path.empty()) to.error(0, "Module" + std::to_string(number) + "Path", "expected in section Modules");
    places[number] = settings.modules.size();
    settings.modules.push_back(std::move(module));
  }
  if (settings.modules.empty()) to.error(0, "Module00Path", "expected in section Modules, found nowhere");
  for (auto& [number, draftOf] : draft.partitions) {
    const std::string name = "Partition" + std::to_string(number);
    transport::ServedPartition& partition = draftOf.partition;
    if (partition.serial.empty() && partition.label.empty())
      to.error(draftOf.line, name, "expected its serial number or its label");
    if (partition.serial.size() > 16) to.error(draftOf.line, name, "a serial number has at most 16 bytes");
    if (!places.contains(draftOf.module)) {
      to.error(draftOf.line, name, "there is no Module" + std::to_string(draftOf.module) + "Path");
    } else {
      partition.module = places[draftOf.module];
    }
    const bool ped = partition.authentication == Authentication::Ped;
    if (ped && partition.pedPin.empty()) to.error(draftOf.line, name, "a PED partition needs a PedPin");
    if (!ped && !partition.pedPin.empty()) to.error(draftOf.line, name, "only a PED partition has a PedPin");
    settings.partitions.push_back(std::move(partition));
  }
  if (settings.partitions.empty()) to.error(0, "Partition00Serial", "expected in section Partitions, found nowhere");
  for (auto& [number, draftOf] : draft.clients) {
    const std::string name = "Client" + std::to_string(number);
    if (draftOf.client.name.empty() == draftOf.client.fingerprint.empty())
      to.error(draftOf.line, name, "expected either a name or a fingerprint");
    if (draftOf.client.partitions.empty()) to.error(draftOf.line, name, "expected the partitions that it may use");
    settings.clients.push_back(std::move(draftOf.client));
  }
  if (settings.clients.empty()) to.warning(0, "Client00Name", "nobody may use anything without section Clients");
}

}  // namespace

bool ReadSettings::hasErrors() const {
  return std::any_of(findings.begin(), findings.end(),
                     [](const config::Diagnostic& each) { return each.severity == config::Severity::Error; });
}

ReadSettings readSettings(const config::Document& document) {
  Diagnostics diagnostics(document.file());
  document.diagnose(diagnostics, [](std::string_view) { return true; });
  Draft draft;
  gather(document, draft, diagnostics);
  settle(draft, diagnostics);
  return {std::move(draft.settings), diagnostics.take()};
}

ReadSettings loadSettings(const std::string& path) {
  const auto loaded = config::load(path);
  if (!loaded) return {{}, {loaded.error()}};
  ReadSettings read = readSettings(loaded->document);
  const bool holdsPin =
      std::any_of(read.settings.partitions.begin(), read.settings.partitions.end(),
                  [](const transport::ServedPartition& partition) { return !partition.pedPin.empty(); });
  struct stat found {};
  if (holdsPin && stat(path.c_str(), &found) == 0 && (found.st_mode & (S_IRGRP | S_IROTH)) != 0) {
    read.findings.push_back(
        {config::Severity::Warning, path, 0, "", "holds a PIN, and others than its owner may read it"});
  }
  return read;
}

std::string describeSettings() {
  std::string text;
  std::string section;
  for (const Key& key : keys()) {
    if (section != key.section) text += "\n" + (section = key.section) + "\n";
    std::string line = std::string("  ") + key.name;
    line.resize(std::max<std::size_t>(line.size() + 1, 30), ' ');
    text += line + key.meaning + (*key.fallback == '\0' ? "" : std::string(" (") + key.fallback + ")") + "\n";
  }
  return text;
}

}  // namespace p11ha::testbed
