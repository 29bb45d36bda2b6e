#include "transport/server/supervisor.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "transport/server/supervisor_events.h"

namespace p11ha::transport {
namespace {

constexpr std::chrono::seconds kEndingTime{5};       // beyond what calls in flight may take
constexpr std::chrono::milliseconds kTellAgain{50};  // a worker that has taken in nothing
constexpr int kEvents = 64;

using base::now;

}  // namespace

Supervisor::Supervisor(ServerSettings settings, Reread reread, Log& log)
    : settings_(std::move(settings)), reread_(std::move(reread)), log_(log) {}

Supervisor::~Supervisor() {
  if (control_ && !controlPath_.empty()) unlink(controlPath_.c_str());
}

void Supervisor::watch(int descriptor, std::uint32_t events, std::uint64_t key) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = key;
  epoll_ctl(poll_.get(), EPOLL_CTL_ADD, descriptor, &event);
}

std::optional<std::string> Supervisor::start() {
  if (getrandom(instance_.data(), instance_.size() / 2, 0) < 0) return "no random numbers";
  sigset_t own;
  sigemptyset(&own);
  for (const int each : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&own, each);
  sigprocmask(SIG_BLOCK, &own, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_ = base::Descriptor(signalfd(-1, &own, SFD_CLOEXEC | SFD_NONBLOCK));
  poll_ = base::Descriptor(epoll_create1(EPOLL_CLOEXEC));
  if (!signals_ || !poll_) return std::generic_category().message(errno);

  if (auto wrong = begin(std::move(settings_))) return wrong;
  loading_->survey.wait();
  // What is there is served, and the log says what is not.
  take(false);
  if (auto wrong = loadStandings()) return wrong;
  if (!settings_.controlSocket.empty()) {
    if (auto wrong = control_.listenLocal(settings_.controlSocket)) return wrong;
    controlPath_ = settings_.controlSocket;
    watch(control_.descriptor(), EPOLLIN, keyOf(Source::Local));
  }
  if (auto wrong = listener_.listenTcp(settings_.address, settings_.port)) return wrong;
  watch(listener_.descriptor(), EPOLLIN, keyOf(Source::Tcp));
  watch(signals_.get(), EPOLLIN, keyOf(Source::Signals));
  log_.info("listening at " + settings_.address + ":" + std::to_string(listener_.port()) + ", " +
            std::to_string(partitions_.size()) + " partitions, instance " + hex(instance_).substr(0, 16));
  return std::nullopt;
}

bool Supervisor::setUp(const Worker& worker) {
  WorkerSetup setup;
  setup.instance = instance_;
  // A worker that takes another's place has none of its sessions and object handles.
  std::memcpy(setup.instance.data() + setup.instance.size() / 2, &worker.id, sizeof worker.id);
  setup.module = worker.key.module;
  setup.modules = settings_.modules;
  setup.partitions = partitions_;
  for (Partition& partition : setup.partitions) {
    if (partition.module != worker.key.module) base::wipeAndClear(partition.pedPin);
  }
  setup.clients = settings_.clients;
  setup.limits = settings_.limits;
  setup.logLevel = settings_.logLevel;
  std::vector<int> files;
  for (const base::Descriptor& file : files_.tls) files.push_back(file.get());
  files.push_back(log_.descriptor());
  return sendMessage(worker.process.socket.get(), MessageKind::Setup, setup, files);
}

// What it has not heard yet. Where it takes nothing in, it is told later.
void Supervisor::tell(Worker& worker) {
  if (worker.owedSetup && setUp(worker)) worker.owedSetup = false;
  if (!worker.owedSetup && worker.told != sequence_ &&
      sendMessage(worker.process.socket.get(), MessageKind::Update, StandingsUpdate{sequence_, standings_}))
    worker.told = sequence_;
}

int Supervisor::run() {
  while (!draining_ || !workers_.empty() || !ending_.empty()) turn();
  log_.info("ended");
  return 0;
}

int Supervisor::patience() const {
  base::Monotonic next = now() + std::chrono::seconds(3600);
  if (!unfinished_.empty()) next = std::min(next, unfinished_.front().until);
  if (!waiting_.empty()) next = std::min(next, mayMakeRoom_);
  for (const auto& [id, controller] : controllers_) {
    next = std::min(next, controller.until);
    if (controllersWait_ && !controller.asked()) next = std::min(next, controller.idleUntil);
  }
  for (const auto& [pid, ending] : ending_) next = std::min(next, ending.until);
  if (listener_.resting()) next = std::min(next, listener_.restUntil());
  if (control_.resting()) next = std::min(next, control_.restUntil());
  if (draining_) next = std::min(next, drainUntil_);
  if (reloading_) next = std::min(next, loading_->survey.until());
  if (std::any_of(workers_.begin(), workers_.end(), [this](const auto& each) { return owes(each.second); }))
    next = std::min(next, now() + kTellAgain);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - now()).count();
  return static_cast<int>(std::clamp<long>(left, 0, 3600000));
}

void Supervisor::turn() {
  epoll_event events[kEvents];
  const int count = epoll_wait(poll_.get(), events, kEvents, patience());
  for (int i = 0; i < count; ++i) {
    const std::uint64_t key = events[i].data.u64;
    const Id id = idOf(key);
    switch (sourceOf(key)) {
      case Source::Tcp:
        accept();
        break;
      case Source::Local:
        acceptController();
        break;
      case Source::Signals:
        signal();
        break;
      case Source::Unfinished:
        look(id, events[i].events);
        break;
      case Source::Worker:
        hear(id);
        break;
      case Source::Controller:
        hearController(id);
        break;
      case Source::Survey:
        break;  // expire() looks
    }
  }
  expire();
}

void Supervisor::expire() {
  expireUnfinished();
  routeWaiting();
  endReload();
  const base::Monotonic present = now();
  for (auto& [id, worker] : workers_) tell(worker);
  for (auto at = controllers_.begin(); at != controllers_.end();) {
    const auto each = at++;
    if (each->second.until > present) continue;
    if (each->second.awaited != 0) {
      each->second.awaited = 0;
      each->second.answer =
          "1\nsome worker has not taken it over in time: the change stays, and is in force there when it does\n";
    } else {
      controllers_.erase(each);
    }
  }
  answerControllers();
  if (controllersWait_ && roomForController()) {
    controllersWait_ = false;
    watch(control_.descriptor(), EPOLLIN, keyOf(Source::Local));
  }
  for (auto& [pid, ending] : ending_) {
    if (ending.until > present) continue;
    log_.error("worker " + std::to_string(pid) + " does not end: it is killed");
    kill(pid, SIGKILL);
    ending.killed = true;
    ending.until = present + kEndingTime;
  }
  for (const auto& [listener, source] : {std::pair{&listener_, Source::Tcp}, {&control_, Source::Local}}) {
    if (!listener->resting() || listener->restUntil() > present) continue;
    listener->wake();
    if (*listener) watch(listener->descriptor(), EPOLLIN, keyOf(source));
  }
  if (draining_ && drainUntil_ <= present) {
    for (auto& [id, worker] : workers_) kill(worker.process.pid, SIGKILL);
    drainUntil_ = present + kEndingTime;
  }
}

// One of its clients has shown who it is.
bool Supervisor::isProven(const Worker& worker) const {
  return std::any_of(worker.connections.begin(), worker.connections.end(),
                     [&](Id connection) { return served_.contains(connection); });
}

bool Supervisor::tooManyProven(const std::string& address) {
  const auto proven = static_cast<std::size_t>(
      std::count_if(workers_.begin(), workers_.end(), [&](const auto& each) { return isProven(each.second); }));
  if (proven < settings_.limits.clients) return false;
  log_.warning(address + ": there are " + std::to_string(proven) + " applications already");
  return true;
}

Supervisor::Worker* Supervisor::beginWorker(const Key& key, const std::string& origin) {
  auto process = WorkerProcess::start();
  if (!process) {
    log_.error(process.error());
    return nullptr;
  }
  const Id id = nextId_++;
  Worker& worker = workers_[id];
  worker.id = id;
  worker.key = key;
  worker.process = std::move(*process);
  worker.origin = origin;
  worker.begun = now();
  worker.heard = worker.begun;
  tell(worker);
  if (owes(worker)) {
    log_.error("worker " + std::to_string(worker.process.pid) + " takes no settings");
    letGo(worker);
    return nullptr;
  }
  watch(worker.process.socket.get(), EPOLLIN, keyOf(Source::Worker, id));
  workerOf_[key] = id;
  log_.debug("worker " + std::to_string(worker.process.pid) + " for application " + hex(key.application).substr(0, 8));
  return &worker;
}

void Supervisor::letGo(Worker& worker) {
  ending_[worker.process.pid] = {now() + settings_.limits.drain + kEndingTime, false,
                                 worker.everProven ? "" : worker.origin};
  forget(worker);
}

void Supervisor::forget(Worker& worker) {
  for (const Id connection : worker.connections) {
    served_.erase(connection);
    if (const auto waiting = unfinishedById_.find(connection); waiting != unfinishedById_.end()) {
      unfinished_.erase(waiting->second);
      unfinishedById_.erase(waiting);
    }
  }
  if (const auto of = workerOf_.find(worker.key); of != workerOf_.end() && of->second == worker.id) workerOf_.erase(of);
  workers_.erase(worker.id);
}

void Supervisor::hear(Id id) {
  Message message;
  while (true) {
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    switch (receiveMessage(found->second.process.socket.get(), message, false)) {
      case Received::Message:
        obey(found->second, message);
        break;
      case Received::Nothing:
        return;
      case Received::Ended:
        // How, the kernel tells.
        epoll_ctl(poll_.get(), EPOLL_CTL_DEL, found->second.process.socket.get(), nullptr);
        return;
    }
  }
}

// One client must not take what all the others need, too.
std::optional<std::string> Supervisor::tooMuchOf(const ClientIdentity& client, const Worker& worker) const {
  const auto isIts = [&](Id connection) {
    const auto served = served_.find(connection);
    return served != served_.end() && served->second.client == client;
  };
  std::size_t connections = 0;
  std::size_t applications = 0;
  for (const auto& [id, each] : workers_) {
    const auto here = std::count_if(each.connections.begin(), each.connections.end(), isIts);
    connections += static_cast<std::size_t>(here);
    if (here != 0 && id != worker.id) ++applications;
  }
  const ServerLimits& limits = settings_.limits;
  if (connections >= limits.clientConnections) return "it has " + std::to_string(connections) + " connections already";
  if (applications >= limits.clientApplications)
    return "it has " + std::to_string(applications) + " applications already";
  return std::nullopt;
}

void Supervisor::obey(Worker& worker, Message& message) {
  switch (message.kind) {
    case MessageKind::Ready: {
      const auto ready = message.as<ConnectionReady>();
      const auto waiting = unfinishedById_.find(ready.id);
      if (waiting == unfinishedById_.end()) return;
      if (const auto much = tooMuchOf(ready.client, worker)) {
        dropInWorker(worker, ready.id, *much);
        unfinished_.erase(waiting->second);
        unfinishedById_.erase(waiting);
        return;
      }
      worker.everProven = true;
      served_[ready.id] = {waiting->second->address, ready.serial, ready.client, ready.application,
                           std::chrono::system_clock::now()};
      unfinished_.erase(waiting->second);
      unfinishedById_.erase(waiting);
      return;
    }
    case MessageKind::Closed:
      return closed(worker, message.as<std::uint64_t>());
    case MessageKind::Applied:
      worker.applied = message.as<std::uint64_t>();
      return answerControllers();
    case MessageKind::Counts:
      worker.counts = message.as<WorkerCounts>();
      worker.heard = now();
      return;
    default:
      log_.error("worker " + std::to_string(worker.process.pid) + " says what it should not");
      return;
  }
}

void Supervisor::closed(Worker& worker, Id connection) {
  worker.connections.erase(connection);
  served_.erase(connection);
  if (const auto waiting = unfinishedById_.find(connection); waiting != unfinishedById_.end()) {
    unfinished_.erase(waiting->second);
    unfinishedById_.erase(waiting);
  }
  // The application's last connection: its login ends.
  if (worker.connections.empty()) letGo(worker);
}

void Supervisor::reap() {
  // Its children are its own to wait for.
  endReload();
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    const bool badly = WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
    const std::string said = "worker " + std::to_string(pid) + " was " + describeEnd(status);
    if (const auto ending = ending_.find(pid); ending != ending_.end()) {
      if (badly && !ending->second.killed) log_.error(said);
      ending_.erase(ending);
      continue;
    }
    const auto found = std::find_if(workers_.begin(), workers_.end(),
                                    [pid](const auto& each) { return each.second.process.pid == pid; });
    if (found == workers_.end()) continue;
    if (badly || !draining_) {
      std::string text = said;
      text.append("; ").append(std::to_string(found->second.connections.size()));
      text.append(" connections of application ").append(hex(found->second.key.application), 0, 8).append(" are lost");
      log_.error(text);
    }
    forget(found->second);
    answerControllers();
  }
}

void Supervisor::signal() {
  signalfd_siginfo info{};
  while (read(signals_.get(), &info, sizeof info) == sizeof info) {
    switch (static_cast<int>(info.ssi_signo)) {
      case SIGCHLD:
        reap();
        break;
      case SIGHUP:
        reload();
        break;
      default:
        drain();
        break;
    }
  }
}

void Supervisor::drain() {
  if (draining_) return;
  draining_ = true;
  drainUntil_ = now() + settings_.limits.drain + kEndingTime;
  log_.info("ending: " + std::to_string(served_.size()) + " connections");
  listener_.close();
  // Those that are handed over are their workers'.
  std::vector<Id> waiting;
  for (const Unfinished& each : unfinished_) {
    if (each.worker == 0) waiting.push_back(each.id);
  }
  for (const Id id : waiting) dropUnfinished(id, "ending");
  std::vector<Id> idle;
  for (auto& [id, worker] : workers_) {
    sendMessage(worker.process.socket.get(), MessageKind::Drain, std::uint64_t{0});
    if (worker.connections.empty()) idle.push_back(id);
  }
  for (const Id id : idle) letGo(workers_.at(id));
}

}  // namespace p11ha::transport
