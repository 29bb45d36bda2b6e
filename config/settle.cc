// Groups, servers and modules as wholes: what is sound is taken, what is faulty is left out alone.
#include <algorithm>
#include <set>
#include <utility>

#include "config/draft.h"
#include "config/text.h"

namespace p11ha::config {

namespace {

constexpr std::string_view kLabel = "VirtualTokenNNLabel";
constexpr std::string_view kSerial = "VirtualTokenNNSN";
constexpr std::string_view kMembers = "VirtualTokenNNMembers";

bool isPrintable(std::string_view text) { return std::none_of(text.begin(), text.end(), isControl); }

bool isSerial(std::string_view text) {
  return text.size() <= Group::kLongestSerial && isPrintable(text) && text.find(' ') == std::string_view::npos;
}

std::string countOf(std::size_t n, std::string_view what) {
  return std::to_string(n) + " " + std::string(what) + (n == 1 ? "" : "s");
}

class GroupSettler {
 public:
  GroupSettler(Draft& draft, Diagnostics& diagnostics) : draft_(draft), diagnostics_(diagnostics) {}

  void run() {
    for (auto& [number, group] : draft_.groups) {
      group.number = number;
      settle(group);
    }
    warnOfSharedSerials();
  }

 private:
  /// A key of the group being settled, or, where the file does not have it, the first one of the group that it has.
  Seen where(std::string_view name) const {
    Seen best;
    for (const std::string_view each : {name, kLabel, kSerial, kMembers}) {
      const Seen seen = draft_.where(each, Place{number_, {}});
      if (seen.line == 0) continue;
      best = seen;
      break;
    }
    best.key = missing(name) ? named(name) : best.key;
    return best;
  }

  bool missing(std::string_view name) const { return draft_.where(name, Place{number_, {}}).line == 0; }

  /// "VirtualTokenNNLabel" with the number of the group being settled.
  std::string named(std::string_view name) const {
    std::string digits = std::to_string(number_);
    if (digits.size() < 2) digits.insert(0, "0");
    return std::string(name).replace(name.find("NN"), 2, digits);
  }

  bool leaveOut(const Seen& at, const std::string& text) {
    diagnostics_.error(at.line, at.key, "expected " + text, "the group is left out");
    return false;
  }

  bool leaveOut(std::string_view name, const std::string& text) { return leaveOut(where(name), text); }

  void settle(Group& group) {
    number_ = group.number;
    group.line = where(kLabel).line;
    adoptWhatOtherSectionsSay(group);
    if (!isSound(group) || !standbyIsSound(group) || !isAlone(group)) return;
    if (draft_.settings.groups.size() == Group::kMostGroups) {
      leaveOut(kLabel, "at most " + countOf(Group::kMostGroups, "group"));
      return;
    }
    labels_.emplace(group.label, number_);
    serials_.emplace(group.serial, number_);
    for (const std::string& member : group.members) members_.emplace(member, number_);
    warnOfOddMembers(group);
    draft_.settings.groups.push_back(std::move(group));
  }

  void adoptWhatOtherSectionsSay(Group& group) {
    const auto said = draft_.labels.find(group.label);
    if (said == draft_.labels.end()) return;
    group.synchronize = said->second.synchronize;
    group.recoveryCounter = said->second.recoveryCounter;
    group.standby = said->second.standby;
    standbyAt_ = draft_.where("HAConfiguration", Place{0, said->first});
  }

  bool isSound(const Group& group) {
    if (group.label.empty()) return leaveOut(kLabel, "a label");
    if (group.label.size() > Group::kLongestLabel || !isPrintable(group.label)) {
      return leaveOut(kLabel, "a label of at most " + countOf(Group::kLongestLabel, "printable byte") + ", found " +
                                  inQuotes(group.label));
    }
    if (group.serial.empty()) return leaveOut(kSerial, "a serial number for group " + inQuotes(group.label));
    if (!isSerial(group.serial)) {
      return leaveOut(kSerial, "a serial number of at most " + countOf(Group::kLongestSerial, "character") +
                                   " without blanks, found " + inQuotes(group.serial));
    }
    if (group.members.empty()) return leaveOut(kMembers, "the serial number of at least one member");
    if (group.members.size() > Group::kMostMembers) {
      return leaveOut(kMembers, "at most " + countOf(Group::kMostMembers, "member") + ", found " +
                                    std::to_string(group.members.size()));
    }
    std::set<std::string_view> once;
    for (const std::string& member : group.members) {
      if (!once.insert(member).second)
        return leaveOut(kMembers, "each member once, found " + inQuotes(member) + " twice");
    }
    return true;
  }

  bool standbyIsSound(Group& group) {
    std::vector<std::string> once;
    for (std::string& serial : group.standby) {
      if (std::find(once.begin(), once.end(), serial) != once.end()) {
        diagnostics_.warning(standbyAt_.line, standbyAt_.key,
                             "expected each standby member once, found " + inQuotes(serial) + " twice");
        continue;
      }
      if (std::find(group.members.begin(), group.members.end(), serial) == group.members.end()) {
        return leaveOut(standbyAt_, "members of group " + inQuotes(group.label) + ", found " + inQuotes(serial));
      }
      once.push_back(std::move(serial));
    }
    group.standby = std::move(once);
    if (group.standby.size() < group.members.size()) return true;
    return leaveOut(standbyAt_, "at least one member of group " + inQuotes(group.label) + " that is not standby");
  }

  bool isAlone(const Group& group) {
    if (const auto other = labels_.find(group.label); other != labels_.end()) {
      return leaveOut(kLabel,
                      "a label of its own, " + inQuotes(group.label) + " is that of " + theGroup(other->second));
    }
    if (const auto other = serials_.find(group.serial); other != serials_.end()) {
      return leaveOut(
          kSerial, "a serial number of its own, " + inQuotes(group.serial) + " is that of " + theGroup(other->second));
    }
    for (const std::string& member : group.members) {
      if (const auto other = members_.find(member); other != members_.end()) {
        return leaveOut(kMembers,
                        "members of one group only, " + inQuotes(member) + " is in " + theGroup(other->second));
      }
    }
    return true;
  }

  static std::string theGroup(unsigned number) {
    return "group " + std::string(number < 10 ? "0" : "") + std::to_string(number);
  }

  /// Such a member is kept, and shows as one that cannot be reached: the others work.
  void warnOfOddMembers(const Group& group) {
    for (const std::string& member : group.members) {
      if (isSerial(member) && member.find_first_of(".:/") == std::string::npos) continue;
      const Seen at = where(kMembers);
      diagnostics_.warning(at.line, at.key,
                           "expected serial numbers of at most " + countOf(Group::kLongestSerial, "character") +
                               ", found " + inQuotes(member));
    }
  }

  /// Legal, since an old example of the vendor has it, but with HAOnly = 0 two slots then look the same.
  void warnOfSharedSerials() {
    for (const Group& group : draft_.settings.groups) {
      const auto owner = members_.find(group.serial);
      if (owner == members_.end()) continue;
      number_ = group.number;
      const Seen at = where(kSerial);
      diagnostics_.warning(at.line, at.key,
                           "expected a serial number of its own, " + inQuotes(group.serial) +
                               " is that of a member of " + theGroup(owner->second));
    }
  }

  Draft& draft_;
  Diagnostics& diagnostics_;
  std::map<std::string, unsigned> labels_;
  std::map<std::string, unsigned> serials_;
  std::map<std::string, unsigned> members_;
  unsigned number_ = 0;
  Seen standbyAt_;
};

}  // namespace

void settleGroups(Draft& draft, Diagnostics& diagnostics) { GroupSettler(draft, diagnostics).run(); }

namespace {

// Connections need all three.
void settleClientFiles(Draft& draft, Diagnostics& diagnostics) {
  Client& client = draft.settings.client;
  if (client.servers.empty()) return;
  const Seen first = draft.where("ServerNameNN", Place{client.servers.front().number, {}});
  bool complete = true;
  const auto look = [&](std::string_view name, const std::string& path) {
    const Seen at = draft.where(name, Place{});
    client.files.push_back({Severity::Error, diagnostics.file(), at.line, at.key, {}});
    if (!path.empty()) return;
    complete = false;
    const Seen& blamed = at.line == 0 ? first : at;
    diagnostics.error(blamed.line, blamed.key, "expected a " + std::string(name) + " for connections to servers",
                      "remote members are left out");
  };
  look("ServerCAFile", client.caFile);
  look("ClientCertFile", client.certificateFile);
  look("ClientPrivKeyFile", client.privateKeyFile);
  if (!complete) client.servers.clear();
}

}  // namespace

void settleServers(Draft& draft, Diagnostics& diagnostics) {
  std::map<std::pair<std::string, std::uint16_t>, std::size_t> lines;
  for (auto& [number, server] : draft.servers) {
    server.number = number;
    const Seen name = draft.where("ServerNameNN", Place{number, {}});
    const Seen port = draft.where("ServerPortNN", Place{number, {}});
    if (server.name.empty()) {
      // The vendor's own files hold empty names beside the keys of a server that was taken away.
      if (name.line == 0) diagnostics.warning(port.line, port.key, "expected a ServerName of the same number");
      continue;
    }
    const auto [other, isNew] = lines.try_emplace({lowered(server.name), server.port}, name.line);
    if (!isNew) {
      diagnostics.warning(name.line, name.key,
                          "expected each server once, found " + inQuotes(server.name) + " in line " +
                              std::to_string(other->second) + " already; this one is ignored");
      continue;
    }
    draft.settings.client.servers.push_back(std::move(server));
  }
  settleClientFiles(draft, diagnostics);
}

void settleModules(Draft& draft, Diagnostics& diagnostics) {
  std::map<std::string, std::size_t> serials;
  for (auto& [number, module] : draft.modules) {
    module.number = number;
    const Place place{number, {}};
    if (module.path.empty()) {
      Seen at;
      for (const std::string_view name : {"ModuleNNPath", "ModuleNNReserved", "ModuleNNSlot", "ModuleNNSerial"}) {
        if (at.line == 0) at = draft.where(name, place);
      }
      diagnostics.error(at.line, at.key, "expected a ModulePath of the same number", "the module is left out");
      continue;
    }
    if (!module.serial.empty()) {
      const Seen at = draft.where("ModuleNNSerial", place);
      const auto [other, isNew] = serials.try_emplace(module.serial, at.line);
      if (!isNew) {
        diagnostics.error(at.line, at.key,
                          "expected a serial number of its own, found " + inQuotes(module.serial) + " in line " +
                              std::to_string(other->second) + " already",
                          "the module is left out");
        continue;
      }
    }
    draft.settings.tuning.modules.push_back(std::move(module));
  }
}

}  // namespace p11ha::config
