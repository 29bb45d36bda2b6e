// What p11ha-memberd ctl asks of the supervisor.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "transport/server/supervisor.h"
#include "transport/server/supervisor_events.h"

namespace p11ha::transport {
namespace {

constexpr std::size_t kMostControllers = 16;
constexpr std::size_t kLongestLine = 1024;
constexpr std::chrono::seconds kControlTime{10};
constexpr std::chrono::seconds kRequestTime{2};
constexpr std::chrono::seconds kReloadTime{60};

std::vector<std::string> wordsOf(const std::string& line) {
  // Words are separated by tabs: a label may have blanks.
  std::vector<std::string> words;
  std::istringstream stream(line);
  for (std::string word; std::getline(stream, word, '\t');) words.push_back(word);
  return words;
}

// What a client says of itself must not tell a terminal anything: no control characters, not even those of UTF-8.
std::string printable(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte < 0x20 || byte == 0x7F || (byte == 0xC2 && next >= 0x80 && next < 0xA0)) text[i] = '?';
    if (byte == 0xC2 && text[i] == '?') text[i + 1] = '?';
  }
  return text;
}

std::string table(std::vector<std::vector<std::string>> rows) {
  for (auto& row : rows) {
    for (std::string& cell : row) cell = printable(std::move(cell));
  }
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace

// One that hangs keeps nobody out: the oldest that has not said in time what it wants makes room.
bool Supervisor::roomForController() {
  if (controllers_.size() < kMostControllers) return true;
  const auto isIdle = [](const auto& each) {
    return !each.second.asked() && each.second.idleUntil <= std::chrono::steady_clock::now();
  };
  for (auto idle = controllers_.begin();
       (idle = std::find_if(idle, controllers_.end(), isIdle)) != controllers_.end();) {
    const Id id = idle->first;
    // What it has said already counts.
    hearController(id);
    if (const auto again = controllers_.find(id); again != controllers_.end() && !again->second.asked())
      controllers_.erase(again);
    if (controllers_.size() < kMostControllers) return true;
    idle = controllers_.upper_bound(id);
  }
  return false;
}

void Supervisor::acceptController() {
  if (!roomForController()) {
    // Those that come wait where they are.
    epoll_ctl(poll_.get(), EPOLL_CTL_DEL, control_.descriptor(), nullptr);
    controllersWait_ = true;
    return;
  }
  base::Descriptor socket;
  Listener::Peer peer;
  switch (control_.accept(socket, peer)) {
    case Listener::Accepted::Nothing:
      return;
    case Listener::Accepted::Exhausted:
      epoll_ctl(poll_.get(), EPOLL_CTL_DEL, control_.descriptor(), nullptr);
      return;
    case Listener::Accepted::Connection:
      break;
  }
  const Id id = nextId_++;
  Controller& controller = controllers_[id];
  controller.socket = std::move(socket);
  const base::Monotonic present = std::chrono::steady_clock::now();
  controller.until = present + kControlTime;
  controller.idleUntil = present + kRequestTime;
  watch(controller.socket.get(), EPOLLIN, keyOf(Source::Controller, id));
}

void Supervisor::hearController(Id id) {
  const auto found = controllers_.find(id);
  if (found == controllers_.end()) return;
  Controller& controller = found->second;
  if (!controller.answer.empty()) return;  // it takes more of it now
  char piece[kLongestLine];
  const ssize_t size = recv(controller.socket.get(), piece, sizeof piece, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0 || controller.line.size() + static_cast<std::size_t>(size) > kLongestLine) {
    controllers_.erase(found);
    return;
  }
  controller.line.append(piece, static_cast<std::size_t>(size));
  const auto end = controller.line.find('\n');
  if (end == std::string::npos) return;
  epoll_ctl(poll_.get(), EPOLL_CTL_DEL, controller.socket.get(), nullptr);
  controller.answer = command(wordsOf(controller.line.substr(0, end)), controller);
  answerControllers();
}

// Those whose change is in force everywhere.
void Supervisor::answerControllers() {
  for (auto at = controllers_.begin(); at != controllers_.end();) {
    const auto each = at++;
    Controller& controller = each->second;
    if (controller.answer.empty()) continue;
    const bool applied = std::all_of(workers_.begin(), workers_.end(),
                                     [&](const auto& worker) { return worker.second.applied >= controller.awaited; });
    if (!applied) continue;
    controller.awaited = 0;
    if (sendAnswer(each->first, controller)) controllers_.erase(each);
  }
}

// True: all of it, or nobody is there to take it.
bool Supervisor::sendAnswer(Id id, Controller& controller) {
  std::string& answer = controller.answer;
  while (!answer.empty()) {
    const ssize_t sent = send(controller.socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) return true;
    if (sent < 0) {
      if (!std::exchange(controller.waitsForRoom, true)) {
        controller.until = std::chrono::steady_clock::now() + kControlTime;
        watch(controller.socket.get(), EPOLLOUT, keyOf(Source::Controller, id));
      }
      return false;
    }
    answer.erase(0, static_cast<std::size_t>(sent));
  }
  return true;
}

const Partition* Supervisor::find(std::string_view name) const {
  const auto found = std::find_if(partitions_.begin(), partitions_.end(),
                                  [&](const Partition& partition) { return partition.isCalled(name); });
  return found == partitions_.end() ? nullptr : &*found;
}

std::string Supervisor::command(const std::vector<std::string>& words, Controller& controller) {
  const std::string verb = words.empty() ? "" : words[0];
  if (verb == "list" && words.size() == 1) return "0\n" + listPartitions();
  if (verb == "clients" && words.size() == 1) return "0\n" + listClients();
  if (verb == "reload" && words.size() == 1) {
    controller.reload = reloads_ + (reloading_ ? 2 : 1);
    controller.until = std::chrono::steady_clock::now() + kReloadTime;
    reload();
    // It may be done already.
    return controller.answer;
  }
  const bool ofClient = verb == "revoke" || verb == "restore";
  if ((verb != "deactivate" && verb != "activate" && !ofClient) || words.size() < 2 ||
      words.size() > (ofClient ? 3U : 2U))
    return "2\nno such command\n";
  const Partition* const partition = find(words[1]);
  if (partition == nullptr) return "1\nno partition " + words[1] + "\n";
  const std::string client = words.size() == 3 ? words[2] : "";
  change(verb, standings_[partition->serial], client);
  publish();
  controller.awaited = sequence_;
  log_.info("partition " + partition->serial + ": " + verb + (client.empty() ? "" : " for client " + client));
  return saveStandings() ? "0\n" : "1\nit is in force, but the state file is not written: a restart undoes it\n";
}

void Supervisor::change(const std::string& verb, Standing& standing, const std::string& client) {
  if (verb == "deactivate") {
    standing.deactivated = true;
    ++standing.deactivations;
  } else if (verb == "activate") {
    standing.deactivated = false;
  } else if (verb == "revoke") {
    if (client.empty()) {
      standing.revoked = true;
    } else {
      standing.revokedFrom.insert(client);
    }
  } else if (client.empty()) {
    standing.revoked = false;
    standing.revokedFrom.clear();
  } else {
    standing.revokedFrom.erase(client);
  }
}

void Supervisor::publish() {
  ++sequence_;
  for (auto& [id, worker] : workers_) tell(worker);
}

std::string Supervisor::listPartitions() const {
  std::vector<std::vector<std::string>> rows{{"SERIAL", "LABEL", "STATE", "AUTHENTICATION", "CONNECTIONS", "MODULE"}};
  for (const Partition& partition : partitions_) {
    const auto found = standings_.find(partition.serial);
    const Standing standing = found == standings_.end() ? Standing{} : found->second;
    std::string state(nameOf(standing.stateFor({})));
    for (const std::string& client : standing.revokedFrom) state += ", revoked from " + client;
    const auto connections = std::count_if(served_.begin(), served_.end(),
                                           [&](const auto& each) { return each.second.serial == partition.serial; });
    rows.push_back({partition.serial, partition.label, state, std::string(nameOf(partition.authentication)),
                    std::to_string(connections), settings_.modules[partition.module].path});
  }
  return table(rows);
}

std::string Supervisor::listClients() const {
  std::vector<std::vector<std::string>> rows{
      {"CLIENT", "APPLICATION", "ADDRESS", "PARTITION", "WORKER", "SESSIONS", "IN FLIGHT", "CALLS"}};
  for (const auto& [id, worker] : workers_) {
    for (const Id connection : worker.connections) {
      const auto served = served_.find(connection);
      if (served == served_.end()) continue;
      const Served& one = served->second;
      rows.push_back({one.client.name, one.application, one.address, one.serial.empty() ? "-" : one.serial,
                      std::to_string(worker.process.pid), std::to_string(worker.counts.sessions),
                      std::to_string(worker.counts.inFlight), std::to_string(worker.counts.calls)});
    }
  }
  return table(rows);
}

// A line each: "deactivated SERIAL", "revoked SERIAL", "revoked SERIAL CLIENT", tabs between.
// What is revoked must not be served because a file cannot be read.
std::optional<std::string> Supervisor::loadStandings() {
  const std::string& path = settings_.stateFile;
  if (path.empty()) return std::nullopt;
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  if (kind == std::filesystem::file_type::not_found) return std::nullopt;
  if (kind != std::filesystem::file_type::regular)
    return path + ": " + (error ? error.message() : std::string("not a regular file"));
  std::ifstream file(path);
  std::size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const auto words = wordsOf(line);
    if (words.size() < 2 || words.size() > 3 || (words[0] != "deactivated" && words[0] != "revoked")) {
      return path + ":" + std::to_string(number) +
             ": expected \"deactivated\" or \"revoked\" and a serial number; mend it, or remove it and set the "
             "states again";
    }
    change(words[0] == "revoked" ? "revoke" : "deactivate", standings_[words[1]], words.size() == 3 ? words[2] : "");
  }
  if (!file.eof()) return path + ": cannot be read";
  return std::nullopt;
}

// False: they would not outlive a restart.
bool Supervisor::saveStandings() {
  if (settings_.stateFile.empty()) return true;
  std::string text;
  const auto add = [&text](const char* state, const std::string& serial, const std::string& client) {
    text.append(state).append("\t").append(serial);
    if (!client.empty()) text.append("\t").append(client);
    text += '\n';
  };
  for (const auto& [serial, standing] : standings_) {
    if (standing.deactivated) add("deactivated", serial, "");
    if (standing.revoked) add("revoked", serial, "");
    for (const std::string& client : standing.revokedFrom) add("revoked", serial, client);
  }
  const std::filesystem::path path = settings_.stateFile;
  const std::string fresh = settings_.stateFile + ".new";
  const auto failed = [&](const std::string& file) {
    log_.error(file + ": " + std::generic_category().message(errno) + ": the partitions' states are not kept");
    return false;
  };
  const base::Descriptor file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return failed(fresh);
  if (!base::writeAll(file.get(), text) || fsync(file.get()) != 0) return failed(fresh);
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return failed(path);
  // Only now does it outlive a power cut.
  const std::string folder = path.has_parent_path() ? path.parent_path() : ".";
  const base::Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return (directory && fsync(directory.get()) == 0) || failed(folder);
}

}  // namespace p11ha::transport
