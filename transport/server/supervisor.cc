#include "transport/server/supervisor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
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

namespace p11ha::transport {
namespace {

constexpr std::chrono::seconds kOverdueAfter{5};     // beyond what a handshake may take
constexpr std::chrono::seconds kFrozenAfter{20};     // without a pulse: loading a module holds it up
constexpr std::chrono::seconds kEndingTime{5};       // beyond what calls in flight may take
constexpr std::chrono::milliseconds kTellAgain{50};  // a worker that has taken in nothing
constexpr std::ptrdiff_t kMostUnproven = 32;         // processes for applications that have not shown who they are
constexpr int kEvents = 64;

// What an event is about: the kind in the upper byte.
enum class Source : std::uint64_t { Tcp = 1, Local, Signals, Unfinished, Worker, Controller, Survey };
constexpr unsigned kKindShift = 56;
std::uint64_t keyOf(Source source, std::uint64_t id = 0) {
  return static_cast<std::uint64_t>(source) << kKindShift | id;
}

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
  signals_ = Descriptor(signalfd(-1, &own, SFD_CLOEXEC | SFD_NONBLOCK));
  poll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
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

// Asks what the settings name. What comes of it, take() sees.
std::optional<std::string> Supervisor::begin(ServerSettings settings) {
  if (auto problem = problemOfKeyFile(settings.tls.privateKey)) return problem;
  auto files = WorkerFiles::copyOf(settings.tls);
  if (!files) return files.error();
  if (auto context = makeTlsContext(TlsSide::Server, files->paths()); !context) {
    // The copies have no names that would mean anything to whoever reads this.
    std::string text = context.error();
    const TlsFiles copies = files->paths();
    const std::pair<const std::string&, const std::string&> names[] = {{copies.authorities, settings.tls.authorities},
                                                                       {copies.certificate, settings.tls.certificate},
                                                                       {copies.privateKey, settings.tls.privateKey}};
    for (const auto& [copy, original] : names) {
      if (text.starts_with(copy + ":")) return original + text.substr(copy.size());
    }
    return text;
  }
  const std::vector<ServedModule> modules = settings.modules;
  loading_ = std::make_unique<Loading>(std::move(settings), std::move(*files), modules);
  return std::nullopt;
}

// Takes over what begin() has asked. With `whole`, only if all of it is there: nothing goes because a module has not
// answered well for once.
bool Supervisor::take(bool whole) {
  const std::unique_ptr<Loading> loading = std::move(loading_);
  std::vector<Partition> found;
  if (!loading->survey.find(loading->settings.partitions, found, log_) && whole) {
    log_.error("not all partitions are there");
    return false;
  }
  files_ = std::move(loading->files);
  partitions_ = std::move(found);
  settings_ = std::move(loading->settings);
  return true;
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
  for (const Descriptor& file : files_.tls) files.push_back(file.get());
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
  for (const auto& [id, controller] : controllers_) next = std::min(next, controller.until);
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
    const Id id = key & ((Id{1} << kKindShift) - 1);
    switch (static_cast<Source>(key >> kKindShift)) {
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
        look(id);
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

void Supervisor::expire() {
  expireUnfinished();
  endReload();
  const base::Monotonic present = now();
  for (auto& [id, worker] : workers_) tell(worker);
  for (auto at = controllers_.begin(); at != controllers_.end();) {
    const auto each = at++;
    if (each->second.until > present) continue;
    if (each->second.awaited != 0) {
      each->second.awaited = 0;
      each->second.answer = "1\nsome worker has not taken it over in time\n";
    } else {
      controllers_.erase(each);
    }
  }
  answerControllers();
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

void Supervisor::refuse(const std::string& address, const std::string& why) {
  log_.warning(address + ": refused: " + why);
}

void Supervisor::accept() {
  // A few at a time: those who are connected already have their turn between.
  for (int i = 0; i < kEvents; ++i) {
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

// One of its clients has shown who it is.
bool Supervisor::isProven(const Worker& worker) const {
  return std::any_of(worker.connections.begin(), worker.connections.end(),
                     [&](Id connection) { return served_.contains(connection); });
}

// Anybody can have a worker begun: the oldest of those gives way to another.
void Supervisor::makeRoomForUnproven() {
  const auto isUnproven = [&](const auto& each) { return !isProven(each.second); };
  if (std::count_if(workers_.begin(), workers_.end(), isUnproven) < kMostUnproven) return;
  const auto found = std::find_if(workers_.begin(), workers_.end(), isUnproven);
  Worker& worker = found->second;
  const std::set<Id> connections = worker.connections;
  for (const Id connection : connections)
    dropUnfinished(connection, "too many applications that have not shown who they are, and this is the oldest");
  const pid_t pid = worker.process.pid;
  kill(pid, SIGKILL);
  letGo(worker);
  ending_[pid].killed = true;
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

Supervisor::Worker* Supervisor::workerFor(const Key& key, const std::string& address) {
  if (const auto known = workerOf_.find(key); known != workerOf_.end()) return &workers_.at(known->second);
  const auto proven = static_cast<std::size_t>(
      std::count_if(workers_.begin(), workers_.end(), [&](const auto& each) { return isProven(each.second); }));
  if (proven >= settings_.limits.clients) {
    log_.warning(address + ": there are " + std::to_string(proven) + " applications already");
    return nullptr;
  }
  makeRoomForUnproven();
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
  worker.heard = now();
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
  ending_[worker.process.pid] = {now() + settings_.limits.drain + kEndingTime, false};
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

// Goes on meanwhile with everything else: endReload() sees what comes of it. Those who ask while one is at it get
// another after it, as they may mean what it has read already.
void Supervisor::reload() {
  if (reloading_) {
    reloadAgain_ = true;
    return;
  }
  if (!beginReload()) reloaded(false);
}

bool Supervisor::beginReload() {
  auto fresh = reread_();
  if (!fresh) {
    for (const std::string& line : fresh.error()) log_.error(line);
    return false;
  }
  if (fresh->modules != settings_.modules) {
    log_.error("modules cannot be changed without a restart");
    return false;
  }
  if (fresh->address != settings_.address || fresh->port != settings_.port ||
      fresh->controlSocket != settings_.controlSocket) {
    log_.warning("where it listens cannot be changed without a restart");
    fresh->address = settings_.address;
    fresh->port = settings_.port;
    fresh->controlSocket = settings_.controlSocket;
  }
  if (auto wrong = begin(std::move(*fresh))) {
    log_.error(*wrong);
    return false;
  }
  reloading_ = true;
  for (const int socket : loading_->survey.sockets()) watch(socket, EPOLLIN, keyOf(Source::Survey));
  return true;
}

void Supervisor::endReload() {
  if (!reloading_ || !loading_->survey.look()) return;
  reloading_ = false;
  const bool good = take(true);
  if (good) {
    if (const auto wrong = log_.open(settings_.logFile)) log_.error(*wrong);
    log_.setLevel(settings_.logLevel);
    for (auto& [id, worker] : workers_) worker.owedSetup = true;
    publish();
    log_.info("configuration read again");
  }
  reloaded(good);
}

void Supervisor::reloaded(bool good) {
  if (!good) log_.error("the configuration is not taken over: the one before stays");
  ++reloads_;
  for (auto& [id, controller] : controllers_) {
    if (controller.reload != reloads_) continue;
    controller.reload = 0;
    controller.awaited = sequence_;
    controller.answer = good ? "0\n" : "1\nthe configuration is not taken over: the log says why\n";
  }
  if (std::exchange(reloadAgain_, false)) reload();
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
