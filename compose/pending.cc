#include "compose/pending.h"

#include <algorithm>

namespace p11ha::compose {
namespace {

using config::Group;
using config::Module;
using config::Server;

std::string numbered(const std::string& name, unsigned number) {
  return name + (number < 10 ? "0" : "") + std::to_string(number);
}

bool same(const Module& one, const Module& other) {
  return one.path == other.path && one.reserved == other.reserved && one.slot == other.slot &&
         one.serial == other.serial;
}

bool same(const Server& one, const Server& other) { return one.name == other.name && one.port == other.port; }

// Entries that were changed, taken away or added.
template <class Entry>
void compareEntries(const std::vector<Entry>& running, const std::vector<Entry>& file, const std::string& name,
                    std::vector<std::string>& pending) {
  const auto find = [](const std::vector<Entry>& entries, unsigned number) {
    return std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.number == number; });
  };
  for (const Entry& entry : running) {
    const auto now = find(file, entry.number);
    if (now == file.end() || !same(entry, *now)) pending.push_back(numbered(name, entry.number));
  }
  for (const Entry& entry : file) {
    if (find(running, entry.number) == running.end()) pending.push_back(numbered(name, entry.number));
  }
}

void compareGroups(const std::vector<Group>& running, const std::vector<Group>& file,
                   std::vector<std::string>& pending) {
  for (const Group& group : file) {
    const auto bySerial =
        std::find_if(running.begin(), running.end(), [&](const Group& each) { return each.serial == group.serial; });
    const auto byLabel =
        std::find_if(running.begin(), running.end(), [&](const Group& each) { return each.label == group.label; });
    if (bySerial != running.end()) {
      if (bySerial->label != group.label) pending.push_back("the label of group " + group.serial);
    } else if (byLabel != running.end()) {
      pending.push_back("the serial number of group " + byLabel->serial);
    } else {
      pending.push_back("group " + group.serial);
    }
  }
}

}  // namespace

std::vector<std::string> pendingChanges(const config::Settings& running, const config::Settings& file) {
  std::vector<std::string> pending;
  const auto compare = [&](const auto& before, const auto& now, const char* name) {
    if (before != now) pending.emplace_back(name);
  };
  compareGroups(running.groups, file.groups, pending);
  compare(running.ha.haOnly, file.ha.haOnly, "HAOnly");
  compare(running.tuning.statusPath, file.tuning.statusPath, "StatusPath");
  compare(running.tuning.finalizeWait, file.tuning.finalizeWait, "FinalizeWait");
  compareEntries(running.tuning.modules, file.tuning.modules, "Module", pending);
  compareEntries(running.client.servers, file.client.servers, "ServerName", pending);
  if (running.client.servers.empty()) return pending;
  compare(running.client.caFile, file.client.caFile, "ServerCAFile");
  compare(running.client.certificateFile, file.client.certificateFile, "ClientCertFile");
  compare(running.client.privateKeyFile, file.client.privateKeyFile, "ClientPrivKeyFile");
  compare(running.client.receiveTimeout, file.client.receiveTimeout, "ReceiveTimeout");
  compare(running.client.tcpKeepAlive, file.client.tcpKeepAlive, "TCPKeepAlive");
  compare(running.tuning.heartbeatInterval, file.tuning.heartbeatInterval, "HeartbeatInterval");
  compare(running.tuning.heartbeatMisses, file.tuning.heartbeatMisses, "HeartbeatMisses");
  compare(running.tuning.connectTimeout, file.tuning.connectTimeout, "ConnectTimeout");
  compare(running.tuning.callDeadline, file.tuning.callDeadline, "CallDeadline of remote members");
  compare(running.tuning.keyGenCallDeadline, file.tuning.keyGenCallDeadline, "KeyGenCallDeadline of remote members");
  return pending;
}

}  // namespace p11ha::compose
