// Connections until their clients have shown who they are.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "transport/server/supervisor.h"
#include "transport/server/supervisor_events.h"

namespace p11ha::transport {
namespace {

constexpr std::chrono::seconds kOverdueAfter{5};  // beyond what a handshake may take
constexpr std::chrono::seconds kFrozenAfter{20};  // without a pulse: loading a module holds it up
constexpr int kAcceptedAtOnce = 64;
// Processes for applications that have not shown who they are: all together, and of one origin. Starting a process
// costs far more than asking for it does, and those of others need the machine, too.
constexpr std::size_t kMostUnproven = 128;
constexpr std::size_t kMostUnprovenOfOrigin = 16;
constexpr std::ptrdiff_t kMostEndingOfOrigin = 16;  // that were those, and have not ended yet

using base::now;

}  // namespace

// A worker ends handshakes that take too long. Whether it is stuck its pulse tells, not what a client does or does not.
void Supervisor::expireUnfinished() {
  const base::Monotonic present = now();
  while (!unfinished_.empty() && unfinished_.front().until <= present) {
    Unfinished& oldest = unfinished_.front();
    if (oldest.worker == 0) {
      dropUnfinished(oldest.id, oldest.wants ? "too many applications of its host have not shown who they are"
                                             : "it has not begun a handshake in time");
      continue;
    }
    const Id id = oldest.id;
    // What it has said already counts.
    hear(oldest.worker);
    const auto waiting = unfinishedById_.find(id);
    if (waiting == unfinishedById_.end()) continue;
    const auto worker = workers_.find(waiting->second->worker);
    if (worker == workers_.end()) {
      unfinished_.erase(waiting->second);
      unfinishedById_.erase(waiting);
      continue;
    }
    if (present - worker->second.heard > kFrozenAfter + 2 * settings_.limits.heartbeat) {
      log_.error("worker " + std::to_string(worker->second.process.pid) + " does not answer: it is killed");
      kill(worker->second.process.pid, SIGKILL);
    } else {
      dropInWorker(worker->second, id, "it has not finished the handshake in time");
    }
    postpone(waiting->second, present + kOverdueAfter);
  }
}

// The list is in the order of time.
void Supervisor::postpone(std::list<Unfinished>::iterator waiting, base::Monotonic until) {
  waiting->until = until;
  const auto place =
      std::find_if(std::next(waiting), unfinished_.end(), [&](const Unfinished& each) { return each.until > until; });
  unfinished_.splice(place, unfinished_, waiting);
}

void Supervisor::refuse(const std::string& address, const std::string& why) {
  log_.warning(address + ": refused: " + why);
}

void Supervisor::accept() {
  // A few at a time: those who are connected already have their turn between.
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    base::Descriptor socket;
    Listener::Peer peer;
    switch (listener_.accept(socket, peer)) {
      case Listener::Accepted::Nothing:
        return;
      case Listener::Accepted::Exhausted:
        log_.error("no descriptors left for connections: " + std::to_string(unfinished_.size()) + " unfinished ones");
        epoll_ctl(poll_.get(), EPOLL_CTL_DEL, listener_.descriptor(), nullptr);
        makeRoom();
        return;
      case Listener::Accepted::Connection:
        break;
    }
    if (served_.size() + unfinished_.size() >= settings_.limits.connections) {
      refuse(peer.name, "there are " + std::to_string(settings_.limits.connections) + " connections already");
      continue;
    }
    if (unfinished_.size() >= settings_.limits.unfinished) makeRoom();
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const Id id = nextId_++;
    const int descriptor = socket.get();
    unfinished_.push_back(
        {id, std::move(socket), 0, peer.name, peer.origin, now() + settings_.limits.handshake, std::nullopt});
    unfinishedById_[id] = std::prev(unfinished_.end());
    watch(descriptor, EPOLLIN | EPOLLRDHUP | EPOLLET, keyOf(Source::Unfinished, id));
  }
}

// No host keeps the others out: it is one of the origin that has the most. Who means well is done with the handshake in
// no time: the oldest of them has the worst case.
void Supervisor::makeRoom() {
  std::map<std::string_view, std::size_t> of;
  for (const Unfinished& each : unfinished_) ++of[each.origin];
  const auto oldest =
      std::min_element(unfinished_.begin(), unfinished_.end(), [&](const Unfinished& a, const Unfinished& b) {
        return std::pair(of[b.origin], a.id) < std::pair(of[a.origin], b.id);
      });
  if (oldest == unfinished_.end()) return;
  dropUnfinished(oldest->id, "too many connections without a handshake, and this is the oldest");
}

// Anybody can have a worker begun: one of those gives way to another, that of the origin that has the most of them. An
// origin's own give way when they have had the time to show who they are; until then, the other waits. In order, as it
// may be somebody's after all and inside the module, which may be writing: SoftHSM loses a token in whose files it is
// killed.
bool Supervisor::makeRoomForUnproven(const std::string& origin) {
  std::map<std::string_view, std::size_t> of;
  std::size_t all = 0;
  for (const auto& [id, worker] : workers_) {
    if (isProven(worker)) continue;
    ++of[worker.origin];
    ++all;
  }
  const auto isEnding = [&](const auto& each) { return each.second.origin == origin; };
  if (std::count_if(ending_.begin(), ending_.end(), isEnding) >= kMostEndingOfOrigin) return false;
  const auto timeToProve = settings_.limits.handshake / 2;
  const std::size_t own = of[origin];
  const auto most =
      std::max_element(of.begin(), of.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->second;
  if (own < kMostUnprovenOfOrigin && all < kMostUnproven) return true;
  const bool amongOwn = own >= kMostUnprovenOfOrigin || own == most;
  // In the order in which they were begun.
  const auto found = std::find_if(workers_.begin(), workers_.end(), [&](const auto& each) {
    const Worker& worker = each.second;
    return !isProven(worker) && (amongOwn ? worker.origin == origin : of[worker.origin] == most);
  });
  if (amongOwn && now() < found->second.begun + timeToProve) {
    mayMakeRoom_ = std::min(mayMakeRoom_, found->second.begun + timeToProve);
    return false;
  }
  // What it has said already counts.
  const Id id = found->first;
  hear(id);
  const auto again = workers_.find(id);
  if (again == workers_.end() || isProven(again->second)) return makeRoomForUnproven(origin);
  Worker& worker = again->second;
  const std::set<Id> connections = worker.connections;
  for (const Id connection : connections)
    dropUnfinished(connection, "too many applications that have not shown who they are, and this is the oldest");
  letGo(worker);
  return true;
}

void Supervisor::dropUnfinished(Id id, const std::string& why) {
  const auto found = unfinishedById_.find(id);
  if (found == unfinishedById_.end()) return;
  refuse(found->second->address, why);
  if (const auto worker = workers_.find(found->second->worker); worker != workers_.end())
    dropInWorker(worker->second, id, why);
  unfinished_.erase(found->second);
  unfinishedById_.erase(found);
}

void Supervisor::dropInWorker(const Worker& worker, Id connection, const std::string& why) {
  sendMessage(worker.process.socket.get(), MessageKind::Drop, DroppedConnection{connection, why});
}

void Supervisor::look(Id id, std::uint32_t events) {
  const auto found = unfinishedById_.find(id);
  if (found == unfinishedById_.end() || !found->second->socket) return;
  // No process is begun for who has gone again.
  const bool gone = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if (found->second->wants && !gone) return;
  std::array<std::uint8_t, kLongestHello + 1> bytes;
  const ssize_t size = recv(found->second->socket.get(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return dropUnfinished(id, "it ended before a handshake");
  const ClientHello hello = readClientHello({bytes.data(), static_cast<std::size_t>(size)});
  switch (hello.kind) {
    case ClientHello::Kind::Incomplete:
      if (gone) dropUnfinished(id, "it ended before a handshake");
      return;
    case ClientHello::Kind::NotTls:
      return dropUnfinished(id, "what it sends is not TLS");
    case ClientHello::Kind::OldTls:
      return dropUnfinished(id, "it has no TLS 1.3");
    case ClientHello::Kind::Other:
      return dropUnfinished(id, "its ClientHello is none of p11ha's");
    case ClientHello::Kind::Good:
      if (gone) return dropUnfinished(id, "it ended before a handshake");
      route(found->second, hello.destination);
      return;
  }
}

// Those who had to wait, in the order in which they came.
void Supervisor::routeWaiting() {
  mayMakeRoom_ = base::Monotonic::max();
  std::set<std::string> without;  // origins that get no room now
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const auto found = unfinishedById_.find(*at);
    if (found != unfinishedById_.end()) {
      const std::string origin = found->second->origin;
      const Destination destination = *found->second->wants;
      if (without.contains(origin) || !route(found->second, destination)) {
        without.insert(origin);
        ++at;
        continue;
      }
    }
    at = waiting_.erase(at);
  }
}

// False: there is no room for its application yet.
bool Supervisor::route(std::list<Unfinished>::iterator waiting, const Destination& destination) {
  Key key{destination.application, std::nullopt};
  if (!destination.serial.empty()) {
    const auto partition = std::find_if(partitions_.begin(), partitions_.end(),
                                        [&](const Partition& each) { return each.serial == destination.serial; });
    // Without it, the list tells the client that there is none, once it has shown who it is.
    if (partition != partitions_.end()) key.module = partition->module;
  }
  const Id id = waiting->id;
  const auto drop = [&](const char* why) {
    dropUnfinished(id, why);
    return true;
  };
  Worker* worker = nullptr;
  if (const auto known = workerOf_.find(key); known != workerOf_.end()) {
    worker = &workers_.at(known->second);
  } else if (!tooManyProven(waiting->address)) {
    if (!makeRoomForUnproven(waiting->origin)) {
      waiting->wants = destination;
      waiting_.insert(id);
      return false;
    }
    worker = beginWorker(key, waiting->origin);
  }
  if (worker == nullptr) return drop("there is no worker for it");
  const int socket = waiting->socket.get();
  epoll_ctl(poll_.get(), EPOLL_CTL_DEL, socket, nullptr);
  if (!sendMessage(worker->process.socket.get(), MessageKind::Connection,
                   HandedConnection{id, destination, waiting->address, waiting->until}, {socket})) {
    return drop("its worker does not take it");
  }
  waiting->socket.reset();
  waiting->worker = worker->id;
  postpone(waiting, waiting->until + kOverdueAfter);
  worker->connections.insert(id);
  return true;
}

}  // namespace p11ha::transport
