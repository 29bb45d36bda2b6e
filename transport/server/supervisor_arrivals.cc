// Connections until their clients have shown who they are.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "transport/server/supervisor.h"
#include "transport/server/supervisor_events.h"

namespace p11ha::transport {
namespace {

constexpr std::chrono::seconds kOverdueAfter{5};  // beyond what a handshake may take
constexpr std::chrono::seconds kFrozenAfter{20};  // without a pulse: loading a module holds it up
constexpr int kAcceptedAtOnce = 64;

using base::now;

}  // namespace

// A worker ends handshakes that take too long. Whether it is stuck its pulse tells, not what a client does or does not.
void Supervisor::expireUnfinished() {
  const base::Monotonic present = now();
  while (!unfinished_.empty() && unfinished_.front().until <= present) {
    Unfinished& oldest = unfinished_.front();
    if (oldest.worker == 0) {
      dropUnfinished(oldest.id, "it has not begun a handshake in time");
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
    Descriptor socket;
    std::string address;
    switch (listener_.accept(socket, address)) {
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
      refuse(address, "there are " + std::to_string(settings_.limits.connections) + " connections already");
      continue;
    }
    if (unfinished_.size() >= settings_.limits.unfinished) makeRoom();
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const Id id = nextId_++;
    const int descriptor = socket.get();
    unfinished_.push_back({id, std::move(socket), 0, address, now() + settings_.limits.handshake});
    unfinishedById_[id] = std::prev(unfinished_.end());
    watch(descriptor, EPOLLIN | EPOLLRDHUP | EPOLLET, keyOf(Source::Unfinished, id));
  }
}

// Who means well is done with the handshake in no time: the oldest has the worst case.
void Supervisor::makeRoom() {
  const auto oldest = std::min_element(unfinished_.begin(), unfinished_.end(),
                                       [](const Unfinished& a, const Unfinished& b) { return a.id < b.id; });
  if (oldest == unfinished_.end()) return;
  dropUnfinished(oldest->id, "too many connections without a handshake, and this is the oldest");
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

void Supervisor::look(Id id) {
  const auto found = unfinishedById_.find(id);
  if (found == unfinishedById_.end() || !found->second->socket) return;
  std::array<std::uint8_t, kLongestHello + 1> bytes;
  const ssize_t size = recv(found->second->socket.get(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return dropUnfinished(id, "it ended before a handshake");
  const ClientHello hello = readClientHello({bytes.data(), static_cast<std::size_t>(size)});
  switch (hello.kind) {
    case ClientHello::Kind::Incomplete:
      return;
    case ClientHello::Kind::NotTls:
      return dropUnfinished(id, "what it sends is not TLS");
    case ClientHello::Kind::OldTls:
      return dropUnfinished(id, "it has no TLS 1.3");
    case ClientHello::Kind::Other:
      return dropUnfinished(id, "its ClientHello is none of p11ha's");
    case ClientHello::Kind::Good:
      return route(found->second, hello.destination);
  }
}

void Supervisor::route(std::list<Unfinished>::iterator waiting, const Destination& destination) {
  Key key{destination.application, std::nullopt};
  if (!destination.serial.empty()) {
    const auto partition = std::find_if(partitions_.begin(), partitions_.end(),
                                        [&](const Partition& each) { return each.serial == destination.serial; });
    // Without it, the list tells the client that there is none, once it has shown who it is.
    if (partition != partitions_.end()) key.module = partition->module;
  }
  const Id id = waiting->id;
  Worker* const worker = workerFor(key, waiting->address);
  if (worker == nullptr) return dropUnfinished(id, "there is no worker for it");
  const int socket = waiting->socket.get();
  epoll_ctl(poll_.get(), EPOLL_CTL_DEL, socket, nullptr);
  if (!sendMessage(worker->process.socket.get(), MessageKind::Connection,
                   HandedConnection{id, destination, waiting->address, waiting->until}, {socket})) {
    return dropUnfinished(id, "its worker does not take it");
  }
  waiting->socket.reset();
  waiting->worker = worker->id;
  postpone(waiting, waiting->until + kOverdueAfter);
  worker->connections.insert(id);
}

}  // namespace p11ha::transport
