#include "config/schema.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "config/draft.h"
#include "config/text.h"

namespace p11ha::config {

namespace {

using Millis = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;
using Serials = std::vector<std::string>;
using Id = std::optional<std::uint64_t>;

/// Where a value goes. Its type says how the value is read; what it holds before says the default.
using Target =
    std::variant<bool*, std::int32_t*, std::uint16_t*, std::uint32_t*, std::uint64_t*, Id*, Seconds*, Millis*,
                 std::string*, Serials*, RecoveryMode*, LogStatus*, CloningPolicy*, UnreplicatedKeys*>;

template <class E>
struct Names;
template <>
struct Names<RecoveryMode> {
  static constexpr std::pair<std::string_view, RecoveryMode> kAll[] = {
      {"activeBasic", RecoveryMode::ActiveBasic}, {"activeEnhanced", RecoveryMode::ActiveEnhanced}};
};
template <>
struct Names<LogStatus> {
  static constexpr std::pair<std::string_view, LogStatus> kAll[] = {{"enabled", LogStatus::Enabled},
                                                                    {"disabled", LogStatus::Disabled}};
};
template <>
struct Names<CloningPolicy> {
  static constexpr std::pair<std::string_view, CloningPolicy> kAll[] = {
      {"domain", CloningPolicy::Domain}, {"user", CloningPolicy::User}, {"none", CloningPolicy::None}};
};
template <>
struct Names<UnreplicatedKeys> {
  static constexpr std::pair<std::string_view, UnreplicatedKeys> kAll[] = {{"allow", UnreplicatedKeys::Allow},
                                                                           {"deny", UnreplicatedKeys::Deny}};
};

struct Row {
  std::string_view name;   ///< NN: a number; <label>: a group's label
  std::string_view alias;  ///< or empty
  Target (*target)(Draft&, const Place&);
  std::int64_t least = 0;  ///< of a number
  std::int64_t most = 0;   ///< of a number; of a text its bytes, 0 for any
};

constexpr bool isByLabel(const Row& row) { return row.name.front() == '<'; }

struct Section {
  std::string_view name;
  bool oursAlone;  ///< an unknown key in it is a warning
  std::span<const Row> rows;
};

constexpr std::int64_t kDay = 86'400'000;
constexpr std::int64_t kTebibyte = std::int64_t{1} << 40;
constexpr std::int64_t kGibibyte = std::int64_t{1} << 30;
constexpr std::int64_t kMaxInt32 = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMaxInt64 = std::numeric_limits<std::int64_t>::max();

#define P11HA_AT(expression) [](Draft& d, [[maybe_unused]] const Place& p) -> Target { return &(expression); }

constexpr Row kVirtualToken[] = {
    {"VirtualTokenNNLabel", "", P11HA_AT(d.groups[p.number].label)},
    {"VirtualTokenNNSN", "", P11HA_AT(d.groups[p.number].serial)},
    {"VirtualTokenNNMembers", "", P11HA_AT(d.groups[p.number].members)},
    {"VirtualTokenActiveRecovery", "", P11HA_AT(d.settings.ha.activeRecovery)},
};
constexpr Row kHaSynchronize[] = {
    {"<label>", "", P11HA_AT(d.labels[p.label].synchronize)},
};
constexpr Row kHaConfiguration[] = {
    {"HAOnly", "", P11HA_AT(d.settings.ha.haOnly)},
    {"reconnAtt", "", P11HA_AT(d.settings.ha.reconnectAttempts), -1, kMaxInt32},
    {"AutoReconnectInterval", "AutoReconnectedInterval", P11HA_AT(d.settings.ha.autoReconnectInterval), 1, 1200},
    {"failover_on_deactivation", "", P11HA_AT(d.settings.ha.failoverOnDeactivation)},
    {"logLen", "", P11HA_AT(d.settings.ha.logLength), 1, kTebibyte},
    {"haLogPath", "", P11HA_AT(d.settings.ha.logPath)},
    {"haLogStatus", "", P11HA_AT(d.settings.ha.logStatus)},
    {"<label>StandbyMembers", "", P11HA_AT(d.labels[p.label].standby)},
};
constexpr Row kHaRecovery[] = {
    {"<label>", "", P11HA_AT(d.labels[p.label].recoveryCounter), 0, kMaxInt64},
};
constexpr Row kLunaSaClient[] = {
    {"ServerNameNN", "", P11HA_AT(d.servers[p.number].name)},
    {"ServerPortNN", "", P11HA_AT(d.servers[p.number].port), 1, 65535},
    {"ServerCAFile", "", P11HA_AT(d.settings.client.caFile)},
    {"ClientCertFile", "", P11HA_AT(d.settings.client.certificateFile)},
    {"ClientPrivKeyFile", "", P11HA_AT(d.settings.client.privateKeyFile)},
    {"ReceiveTimeout", "", P11HA_AT(d.settings.client.receiveTimeout), 1, kDay},
    {"TCPKeepAlive", "", P11HA_AT(d.settings.client.tcpKeepAlive)},
};
constexpr Row kP11ha[] = {
    {"ModuleNNPath", "", P11HA_AT(d.modules[p.number].path)},
    {"ModuleNNReserved", "", P11HA_AT(d.modules[p.number].reserved)},
    {"ModuleNNSlot", "", P11HA_AT(d.modules[p.number].slot)},
    {"ModuleNNSerial", "", P11HA_AT(d.modules[p.number].serial), 0, Group::kLongestSerial},
    {"HeartbeatInterval", "", P11HA_AT(d.settings.tuning.heartbeatInterval), 1, kDay},
    {"HeartbeatMisses", "", P11HA_AT(d.settings.tuning.heartbeatMisses), 1, 1000},
    {"CallDeadline", "", P11HA_AT(d.settings.tuning.callDeadline), 1, kDay},
    {"KeyGenCallDeadline", "", P11HA_AT(d.settings.tuning.keyGenCallDeadline), 1, kDay},
    {"FinalizeWait", "", P11HA_AT(d.settings.tuning.finalizeWait), 0, kDay},
    {"ConnectTimeout", "", P11HA_AT(d.settings.tuning.connectTimeout), 1, kDay},
    {"RecoverWait", "", P11HA_AT(d.settings.tuning.recoverWait), 0, kDay},
    {"MultipartJournal", "", P11HA_AT(d.settings.tuning.multipartJournal), 0, kGibibyte},
    {"CloningPolicy", "", P11HA_AT(d.settings.tuning.cloningPolicy)},
    {"UnreplicatedKeys", "", P11HA_AT(d.settings.tuning.unreplicatedKeys)},
    {"StatusPath", "", P11HA_AT(d.settings.tuning.statusPath)},
};

#undef P11HA_AT

constexpr Section kSections[] = {
    {"VirtualToken", true, kVirtualToken},       {"HASynchronize", true, kHaSynchronize},
    {"HAConfiguration", true, kHaConfiguration}, {"HARecovery", true, kHaRecovery},
    {"LunaSA Client", false, kLunaSaClient},     {"p11ha", true, kP11ha},
};

const Section* findSection(std::string_view name) {
  for (const Section& section : kSections) {
    if (sameSection(section.name, name)) return &section;
  }
  return nullptr;
}

/// The place that `key` means if it is spelled as `pattern` says.
std::optional<Place> match(std::string_view pattern, std::string_view key) {
  constexpr std::string_view kLabel = "<label>";
  if (pattern.starts_with(kLabel)) {
    const std::string_view suffix = pattern.substr(kLabel.size());
    if (key.size() <= suffix.size()) return std::nullopt;
    const std::size_t length = key.size() - suffix.size();
    if (!equalsIgnoringCase(key.substr(length), suffix)) return std::nullopt;
    return Place{0, std::string(trimmed(key.substr(0, length)))};
  }
  const std::size_t at = pattern.find("NN");
  if (at == std::string_view::npos) return equalsIgnoringCase(pattern, key) ? std::optional(Place{}) : std::nullopt;
  if (!equalsIgnoringCase(key.substr(0, at), pattern.substr(0, at))) return std::nullopt;
  Place place;
  const char* const end = key.data() + key.size();
  const auto [rest, failed] = std::from_chars(key.data() + at, end, place.number);
  if (failed != std::errc()) return std::nullopt;
  const std::string_view suffix(rest, static_cast<std::size_t>(end - rest));
  return equalsIgnoringCase(suffix, pattern.substr(at + 2)) ? std::optional(place) : std::nullopt;
}

struct Match {
  const Row* row;
  Place place;
};

std::optional<Match> findRow(const Section& section, std::string_view key) {
  for (const Row& row : section.rows) {
    auto place = match(row.name, key);
    if (!place && !row.alias.empty()) place = match(row.alias, key);
    if (place) return Match{&row, *std::move(place)};
  }
  return std::nullopt;
}

template <class T>
constexpr bool kIsDuration = std::is_same_v<T, Seconds> || std::is_same_v<T, Millis>;

template <class T>
constexpr bool kIsNumber = (std::is_integral_v<T> && !std::is_same_v<T, bool>) || kIsDuration<T>;

std::string_view unitOf(const Target& target) {
  if (std::holds_alternative<Seconds*>(target)) return " of seconds";
  if (std::holds_alternative<Millis*>(target)) return " of milliseconds";
  return "";
}

/// What the row takes, as the sentence "expected ..." goes on.
std::string expectation(const Row& row, const Target& target) {
  return std::visit(
      [&]<class T>(const T*) -> std::string {
        if constexpr (std::is_same_v<T, bool>) {
          return "0 or 1";
        } else if constexpr (kIsNumber<T>) {
          return "a whole number" + std::string(unitOf(target)) + " from " + std::to_string(row.least) + " to " +
                 std::to_string(row.most);
        } else if constexpr (std::is_same_v<T, Id>) {
          return "a slot id, decimal or hexadecimal with 0x";
        } else if constexpr (std::is_same_v<T, std::string>) {
          return row.most == 0 ? "a text" : "a text of at most " + std::to_string(row.most) + " bytes";
        } else if constexpr (std::is_same_v<T, Serials>) {
          return "serial numbers separated by commas";
        } else {
          std::string result;
          constexpr std::size_t kCount = std::size(Names<T>::kAll);
          for (std::size_t i = 0; i < kCount; ++i) {
            if (i > 0) result += i + 1 == kCount ? " or " : ", ";
            result += Names<T>::kAll[i].first;
          }
          return result;
        }
      },
      target);
}

/// A value as one would write it into the file.
std::string written(const Target& target) {
  return std::visit(
      []<class T>(const T* value) -> std::string {
        if constexpr (std::is_same_v<T, bool>) {
          return *value ? "1" : "0";
        } else if constexpr (kIsDuration<T>) {
          return std::to_string(value->count());
        } else if constexpr (kIsNumber<T>) {
          return std::to_string(*value);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return *value;
        } else if constexpr (std::is_same_v<T, Id> || std::is_same_v<T, Serials>) {
          return "";
        } else {
          for (const auto& [name, each] : Names<T>::kAll) {
            if (each == *value) return std::string(name);
          }
          return "";
        }
      },
      target);
}

std::optional<std::int64_t> wholeNumber(std::string_view text) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data(), end, number);
  if (failed != std::errc() || rest != end) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> slotId(std::string_view text) {
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  if (hexadecimal) text.remove_prefix(2);
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data(), end, number, hexadecimal ? 16 : 10);
  if (failed != std::errc() || rest != end) return std::nullopt;
  return number;
}

/// "1,2", "1, 2": blanks separate too. Empty items are passed over.
Serials splitSerials(std::string_view text) {
  Serials result;
  std::string serial;
  for (const char c : text) {
    if (c != ',' && !isBlank(c)) {
      serial += c;
    } else if (!serial.empty()) {
      result.push_back(std::exchange(serial, {}));
    }
  }
  if (!serial.empty()) result.push_back(std::move(serial));
  return result;
}

/// Stores the value; false, with nothing stored, where it is not what the row takes.
bool store(const Row& row, const Target& target, std::string_view text) {
  return std::visit(
      [&]<class T>(T* to) -> bool {
        if constexpr (std::is_same_v<T, bool>) {
          if (text != "0" && text != "1") return false;
          *to = text == "1";
          return true;
        } else if constexpr (kIsNumber<T>) {
          const auto number = wholeNumber(text);
          if (!number || *number < row.least || *number > row.most) return false;
          *to = static_cast<T>(*number);
          return true;
        } else if constexpr (std::is_same_v<T, Id>) {
          const auto id = slotId(text);
          if (id) *to = id;
          return id.has_value();
        } else if constexpr (std::is_same_v<T, std::string>) {
          if (row.most != 0 && text.size() > static_cast<std::size_t>(row.most)) return false;
          if (std::any_of(text.begin(), text.end(), [](char c) { return c == '\0'; })) return false;
          *to = text;
          return true;
        } else if constexpr (std::is_same_v<T, Serials>) {
          *to = splitSerials(text);
          return true;
        } else {
          for (const auto& [name, value] : Names<T>::kAll) {
            if (!equalsIgnoringCase(name, text)) continue;
            *to = value;
            return true;
          }
          return false;
        }
      },
      target);
}

std::string found(std::string_view value) { return value.empty() ? ", found nothing" : ", found " + inQuotes(value); }

/// The section that has a key of this name, as the end of a sentence.
std::string hintOfHome(std::string_view key) {
  for (const Section& section : kSections) {
    for (const Row& row : section.rows) {
      // A label may be anything: only keys of fixed spelling tell where they belong.
      if (isByLabel(row)) continue;
      if (match(row.name, key) || (!row.alias.empty() && match(row.alias, key))) {
        return "; it belongs in section " + std::string(section.name);
      }
    }
  }
  return {};
}

/// The labels of all groups of the file, sound or not.
class Labels {
 public:
  explicit Labels(const Draft& draft) {
    for (const auto& [number, group] : draft.groups) {
      exact_.insert(group.label);
      lowered_.try_emplace(lowered(group.label), group.label);
    }
  }

  /// The label meant: the very same, else the first that is the same regardless of case.
  const std::string* find(const std::string& label) const {
    if (const auto same = exact_.find(label); same != exact_.end()) return &*same;
    const auto similar = lowered_.find(lowered(label));
    return similar == lowered_.end() ? nullptr : &similar->second;
  }

 private:
  std::set<std::string> exact_;
  std::map<std::string, std::string> lowered_;
};

void unknownKey(const Section& section, const Entry& entry, Diagnostics& diagnostics) {
  diagnostics.warning(entry.line, entry.key,
                      "expected a key of section " + std::string(section.name) + hintOfHome(entry.key));
}

void unknownLabel(const Entry& entry, std::string_view label, Diagnostics& diagnostics) {
  diagnostics.warning(entry.line, entry.key,
                      "expected the label of a group, found " + inQuotes(label) + hintOfHome(entry.key));
}

}  // namespace

void gather(const Document& document, Draft& draft, Diagnostics& diagnostics) {
  for (const Section& section : kSections) {
    // VirtualToken comes first in the table: from then on the labels are known.
    const Labels labels(draft);
    for (const Entry& entry : document.entries(section.name)) {
      const auto known = findRow(section, entry.key);
      if (!known) {
        if (section.oursAlone) unknownKey(section, entry, diagnostics);
        continue;
      }
      const Row* const row = known->row;
      Place place = known->place;
      if (isByLabel(*row)) {
        const std::string* const label = labels.find(place.label);
        if (label == nullptr) {
          unknownLabel(entry, place.label, diagnostics);
          continue;
        }
        place.label = *label;
      }
      Seen& seen = draft.seen[isByLabel(*row) ? section.name : row->name][place];
      if (seen.line != 0) {
        diagnostics.warning(entry.line, entry.key,
                            "expected once in section " + std::string(section.name) + "; the one in line " +
                                std::to_string(seen.line) + " is used");
        continue;
      }
      seen = {entry.line, entry.key};
      const Target target = row->target(draft, place);
      if (store(*row, target, entry.value)) continue;
      const std::string fallback = written(target);
      diagnostics.error(entry.line, entry.key, "expected " + expectation(*row, target) + found(entry.value),
                        fallback.empty() ? "it is ignored" : "the default " + fallback + " is used");
    }
  }
}

bool isOurSection(std::string_view section) { return findSection(section) != nullptr; }

std::vector<KeyDescription> describeKeys() {
  std::vector<KeyDescription> result;
  Draft draft;
  for (const Section& section : kSections) {
    for (const Row& row : section.rows) {
      const Target target = row.target(draft, {});
      result.push_back({std::string(section.name), std::string(row.name), std::string(row.alias),
                        expectation(row, target), written(target)});
    }
  }
  return result;
}

namespace {

/// A value as it is best written: a number without leading zeros, a word as the table spells it. Error: what read()
/// would have against it.
base::Result<std::string, std::string> settled(std::string_view section, std::string_view key, std::string_view value) {
  const Section* const known = findSection(section);
  if (known == nullptr) return std::string(value);
  const auto row = findRow(*known, key);
  if (!row) {
    if (!known->oursAlone) return std::string(value);
    return base::Failure{"expected a key of section " + std::string(known->name)};
  }
  Draft draft;
  const Target target = row->row->target(draft, row->place);
  if (!store(*row->row, target, value))
    return base::Failure{"expected " + expectation(*row->row, target) + found(value)};
  std::string best = written(target);
  return best.empty() ? std::string(value) : best;
}

}  // namespace

std::optional<std::string> objection(std::string_view section, std::string_view key, std::string_view value) {
  const auto best = settled(section, key, value);
  return best ? std::nullopt : std::optional(best.error());
}

namespace {

/// Where the document has the key of that name in the table: the entries, and which NN or label each holds.
std::vector<std::pair<Entry, Place>> spelled(const Document& document, std::string_view section,
                                             std::string_view name) {
  std::vector<std::pair<Entry, Place>> result;
  const Section* const known = findSection(section);
  if (known == nullptr) return result;
  for (Entry& entry : document.entries(section)) {
    auto found = findRow(*known, entry.key);
    if (found && found->row->name == name) result.emplace_back(std::move(entry), std::move(found->place));
  }
  return result;
}

}  // namespace

std::string spelledIn(const Document& document, std::string_view section, std::string_view name, const Place& place) {
  for (const auto& [entry, at] : spelled(document, section, name)) {
    if (at.number == place.number && equalsIgnoringCase(at.label, place.label)) return entry.key;
  }
  std::string key(name);
  std::string digits = std::to_string(place.number);
  if (digits.size() < 2) digits.insert(0, "0");
  if (const std::size_t at = key.find("NN"); at != std::string::npos) key.replace(at, 2, digits);
  if (key.starts_with("<label>")) key.replace(0, std::string_view("<label>").size(), place.label);
  return key;
}

std::vector<unsigned> numbersOf(const Document& document, std::string_view section, std::string_view name) {
  std::vector<unsigned> numbers;
  for (const auto& [entry, place] : spelled(document, section, name)) {
    if (std::find(numbers.begin(), numbers.end(), place.number) == numbers.end()) numbers.push_back(place.number);
  }
  return numbers;
}

Edit put(Document& document, std::string_view section, std::string_view name, const Place& place,
         std::string_view value) {
  const std::string key = spelledIn(document, section, name, place);
  const auto best = settled(section, key, value);
  if (!best) return base::Failure{best.error()};
  return document.set(section, key, *best);
}

bool drop(Document& document, std::string_view section, std::string_view name, const Place& place) {
  return document.eraseKey(section, spelledIn(document, section, name, place));
}

}  // namespace p11ha::config
