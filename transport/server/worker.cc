#include "transport/server/worker.h"

#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>

#include "transport/server/worker_process.h"

namespace p11ha::transport {
namespace {

constexpr std::chrono::milliseconds kTick{5};
constexpr unsigned kMostThreads = 512;
constexpr std::size_t kTasksKept = 256;
constexpr int kLargeBlock = 1 << 20;
constexpr std::chrono::milliseconds kFinishLook{5};
// SoftHSM, for one, does not show a token that another process is writing to at that moment, and never looks again.
constexpr std::chrono::seconds kTokenTime{3};
constexpr std::chrono::milliseconds kTokenPause{20};

}  // namespace

Worker::Worker(int supervisor)
    : supervisor_(supervisor),
      crew_(std::max(1U, std::thread::hardware_concurrency()), kMostThreads),
      sessions_(ServerLimits{}.sessions) {}

ServerLimits Worker::limits() const {
  base::Lock lock(mutex_);
  return setup_.limits;
}

int Worker::run() {
  Message message;
  if (receiveMessage(supervisor_, message, true) != Received::Message || message.kind != MessageKind::Setup) return 1;
  if (auto setup = message.as<WorkerSetup>(); setup.survey) return survey(setup);
  if (!setUp(message)) return 1;
  base::wipeAndClear(message.bytes);
  std::thread([this] { pulse(); }).detach();
  while (receiveMessage(supervisor_, message, true) == Received::Message) {
    if (!obey(message)) return 1;
    base::wipeAndClear(message.bytes);
  }
  return finish();
}

// Nobody wants anything any more: what the modules are in the midst of is let finish, for a time.
int Worker::finish() {
  const auto until = std::chrono::steady_clock::now() + limits().drain;
  while (activity_.load() != 0) {
    if (std::chrono::steady_clock::now() > until) {
      log_.warning("ended with calls still in flight");
      return 0;
    }
    std::this_thread::sleep_for(kFinishLook);
  }
  base::Lock lock(opening_);
  if (module_ != nullptr) module_->finalize();
  return 0;
}

int Worker::survey(const WorkerSetup& setup) {
  SurveyResult result;
  const ServedModule& served = setup.modules.at(*setup.module);
  auto module = modules_.open({served.path, served.reserved});
  if (!module) {
    result.error = module.error();
  } else if (const auto tokens = (*module)->tokens(); tokens) {
    for (const cryptoki::TokenInSlot& token : *tokens) result.tokens.push_back({token.serial, token.label});
    (*module)->finalize();
  } else {
    result.error = "module " + served.path + ": it does not tell its slots";
  }
  sendMessage(supervisor_, MessageKind::Surveyed, result, {}, true);
  return 0;
}

bool Worker::obey(Message& message) {
  switch (message.kind) {
    case MessageKind::Setup:
      if (!setUp(message)) return false;
      restrict();
      return true;
    case MessageKind::Connection:
      take(message);
      return true;
    case MessageKind::Update:
      apply(message.as<StandingsUpdate>());
      return true;
    case MessageKind::Drop: {
      const auto dropped = message.as<DroppedConnection>();
      for (const auto& connection : connections()) {
        if (connection->id() == dropped.id) connection->drop({Farewell::Limit, dropped.why});
      }
      return true;
    }
    case MessageKind::Drain:
      for (const auto& connection : connections()) connection->drain();
      return true;
    default:
      return false;
  }
}

bool Worker::setUp(Message& message) {
  if (message.descriptors.size() != kWorkerFiles) return false;
  log_.use(message.descriptors[kLogFile].release());
  auto setup = message.as<WorkerSetup>();
  log_.setLevel(setup.logLevel);
  const auto fd = [&](WorkerFile file) { return message.descriptors[file].get(); };
  // What is not dumpable may not open its own descriptors by name.
  prctl(PR_SET_DUMPABLE, 1);
  auto context =
      makeTlsContext(TlsSide::Server, WorkerFiles::pathsOf(fd(kAuthorities), fd(kCertificate), fd(kPrivateKey)),
                     // It may have run out since: the clients say so better than a worker that ends.
                     OwnDates::Unchecked);
  prctl(PR_SET_DUMPABLE, 0);
  if (!context) {
    log_.error("certificates that were good are not: " + context.error());
    return false;
  }
  sessions_.setMost(setup.limits.sessions);
  {
    base::Lock lock(tasksMutex_);
    taskLimits_ = setup.limits.frame;
    tasks_.clear();
  }
  base::Lock lock(mutex_);
  // The instance is what bindings hang on: it stays as long as the process.
  if (context_ != nullptr) setup.instance = setup_.instance;
  setup_ = std::move(setup);
  context_ = std::shared_ptr<SSL_CTX>(context->release(), FreeSsl{});
  return true;
}

// After a reload: who may no longer use its partition goes, and what stays is as it is told now.
void Worker::restrict() {
  std::vector<std::shared_ptr<Connection>> out;
  {
    base::Lock lock(mutex_);
    for (const Partition& partition : setup_.partitions) {
      if (ServedToken* const token = known(partition.serial); token != nullptr) token->use(partition);
    }
    for (const auto& [id, connection] : connections_) {
      const ServedToken* const token = connection->token();
      if (token == nullptr || !owner_) continue;
      const auto partition = std::find_if(setup_.partitions.begin(), setup_.partitions.end(),
                                          [&](const Partition& each) { return each.serial == token->serial(); });
      if (partition == setup_.partitions.end() || !mayUse(setup_.clients, *owner_, *partition))
        out.push_back(connection);
    }
  }
  for (const auto& connection : out) connection->drop({Farewell::NotAllowed, "the partition is no longer yours"});
}

void Worker::take(Message& message) {
  if (message.descriptors.empty()) return;
  auto handed = message.as<HandedConnection>();
  std::shared_ptr<Connection> connection;
  const std::uint64_t id = handed.id;
  try {
    base::Lock lock(mutex_);
    connection = std::make_shared<Connection>(*this, std::move(handed), std::move(message.descriptors.front()),
                                              *context_, setup_.limits);
    connections_.emplace(id, connection);
  } catch (const std::bad_alloc&) {
    log_.error("no memory for a connection");
    sendMessage(supervisor_, MessageKind::Closed, id, {}, true);
    return;
  }
  if (connection->start()) return;
  log_.error("no thread for a connection");
  closed(*connection);
}

PartitionState Worker::stateOf(const Standings& standings, const std::string& serial, const ClientIdentity& client,
                               std::uint64_t& deactivations) {
  deactivations = 0;
  const auto found = standings.find(serial);
  if (found == standings.end()) return PartitionState::Active;
  deactivations = found->second.deactivations;
  return found->second.stateFor(client);
}

void Worker::apply(const StandingsUpdate& update) {
  std::vector<ServedToken*> changed;
  std::vector<std::pair<std::shared_ptr<Connection>, StateChange>> news;
  {
    base::Lock lock(mutex_);
    standings_ = update.standings;
    for (const auto& [serial, token] : tokens_) {
      std::uint64_t deactivations = 0;
      const PartitionState state = stateOf(standings_, serial, *owner_, deactivations);
      const PartitionState before = token->state();
      const bool follows = token->apply(state, deactivations);
      if (follows) changed.push_back(token.get());
      if (!follows && state == before) continue;
      for (const auto& [id, connection] : connections_) {
        if (connection->token() != token.get() || !connection->greeted()) continue;
        // Off and on again: it is the first that matters.
        if (follows && state == PartitionState::Active)
          news.emplace_back(connection, StateChange{serial, PartitionState::Deactivated});
        news.emplace_back(connection, StateChange{serial, state});
      }
    }
  }
  for (ServedToken* const token : changed) {
    const bool begun = crew_.slow([this, token] {
      const Activity counted(*this);
      token->follow();
    });
    if (!begun) log_.error("no thread to end logins");
  }
  sendMessage(supervisor_, MessageKind::Applied, update.sequence, {}, true);
  for (const auto& [connection, change] : news) connection->tell(change);
}

ServedToken* Worker::known(const std::string& serial) const {
  const auto found = tokens_.find(serial);
  return found == tokens_.end() ? nullptr : found->second.get();
}

std::unique_ptr<ServedToken> Worker::tryToOpen(const Partition& partition, const ServedModule& served,
                                               std::string& why) {
  if (module_ == nullptr) {
    auto opened = modules_.open({served.path, served.reserved});
    if (!opened) {
      why = opened.error();
      return nullptr;
    }
    module_ = std::move(*opened);
  }
  const auto tokens = module_->tokens();
  if (!tokens) {
    why = "the module does not tell its slots";
    return nullptr;
  }
  const auto token = std::find_if(tokens->begin(), tokens->end(),
                                  [&](const cryptoki::TokenInSlot& each) { return each.serial == partition.serial; });
  if (token != tokens->end()) return std::make_unique<ServedToken>(module_, token->slot, partition, sessions_);
  why = "partition " + partition.serial + " is not there any more";
  return nullptr;
}

bool Worker::isUnused() const {
  base::Lock lock(mutex_);
  return tokens_.empty();
}

// One at a time; the module may take its time over it.
ServedToken* Worker::open(const Partition& partition, const ServedModule& served, std::string& why) {
  const Activity counted(*this);
  base::Lock opening(opening_);
  {
    base::Lock lock(mutex_);
    if (ServedToken* const token = known(partition.serial); token != nullptr) return token;
  }
  openingSince_.store(monotonicNow());
  std::unique_ptr<ServedToken> made;
  const base::Monotonic until = base::now() + kTokenTime;
  while (true) {
    made = tryToOpen(partition, served, why);
    if (made != nullptr || module_ == nullptr || base::now() >= until || !isUnused()) break;
    log_.debug(why + ": the module is begun anew");
    module_->finalize();
    module_.reset();
    // Nothing tells when another process has done with the token's files.
    std::this_thread::sleep_for(kTokenPause);
  }
  openingSince_.store(0);
  if (made == nullptr) return nullptr;
  base::Lock lock(mutex_);
  std::uint64_t deactivations = 0;
  const PartitionState state = stateOf(standings_, partition.serial, *owner_, deactivations);
  made->apply(state, deactivations);
  return tokens_.emplace(partition.serial, std::move(made)).first->second.get();
}

Worker::Admission Worker::admit(const ClientIdentity& client, const std::string& serial) {
  Admission admission;
  std::optional<std::pair<Partition, ServedModule>> wanted;
  if (!serial.empty()) {
    base::Lock lock(mutex_);
    const auto partition = std::find_if(setup_.partitions.begin(), setup_.partitions.end(),
                                        [&](const Partition& each) { return each.serial == serial; });
    if (partition == setup_.partitions.end()) {
      admission.refused = Goodbye{Farewell::NoPartition, "there is no partition " + serial};
      return admission;
    }
    if (!mayUse(setup_.clients, client, *partition)) {
      admission.refused = Goodbye{Farewell::NotAllowed, "client " + client.name + " may not use partition " + serial};
      return admission;
    }
    // Only of who may be here: an application id is no secret.
    if (!owner_) owner_ = client;
    if (*owner_ != client) {
      admission.refused = Goodbye{Farewell::NotAllowed, "the application id belongs to another client"};
      return admission;
    }
    admission.token = known(serial);
    if (admission.token == nullptr) wanted.emplace(*partition, setup_.modules.at(partition->module));
  }
  if (wanted) {
    std::string why;
    admission.token = open(wanted->first, wanted->second, why);
    if (admission.token == nullptr) {
      log_.error(why);
      admission.refused = Goodbye{Farewell::NoPartition, "partition " + serial + " cannot be served now"};
      return admission;
    }
  }
  base::Lock lock(mutex_);
  admission.greeting.instance = setup_.instance;
  admission.greeting.partitions = partitionsFor(client, setup_.clients, setup_.partitions, standings_);
  admission.greeting.limits = setup_.limits.frame;
  admission.greeting.maxInFlight = setup_.limits.inFlight;
  admission.greeting.heartbeatInterval = static_cast<std::uint32_t>(setup_.limits.heartbeat.count());
  return admission;
}

void Worker::ready(const Connection& connection, const ClientIdentity& client, const std::string& application,
                   const std::string& serial) {
  sendMessage(supervisor_, MessageKind::Ready, ConnectionReady{connection.id(), client, application, serial}, {}, true);
}

void Worker::closed(const Connection& connection) {
  const std::uint64_t id = connection.id();
  std::shared_ptr<Connection> last;
  {
    base::Lock lock(mutex_);
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    last = std::move(found->second);
    connections_.erase(found);
  }
  sendMessage(supervisor_, MessageKind::Closed, id, {}, true);
}

std::vector<std::shared_ptr<Connection>> Worker::connections() const {
  std::vector<std::shared_ptr<Connection>> all;
  base::Lock lock(mutex_);
  for (const auto& [id, connection] : connections_) all.push_back(connection);
  return all;
}

TaskPtr Worker::newTask() {
  base::Lock lock(tasksMutex_);
  if (tasks_.empty()) return std::make_unique<Task>(taskLimits_);
  TaskPtr task = std::move(tasks_.back());
  tasks_.pop_back();
  return task;
}

void Worker::giveBack(TaskPtr task) {
  task->clear();
  base::Lock lock(tasksMutex_);
  if (tasks_.size() < kTasksKept) tasks_.push_back(std::move(task));
}

void Worker::wakePulse() {
  base::Lock lock(pulseMutex_);
  dozing_.store(false);
  awake_.notifyOne();
}

// Looks after the calls: relieves readers that are stuck in one, ends the process over one that takes too long, and
// tells the clients which are still worked on.
void Worker::pulse() {
  auto next = std::chrono::steady_clock::now();
  std::uint64_t seen = 0;
  while (true) {
    const auto all = connections();
    for (const auto& connection : all) connection->relieve();
    crew_.tick();
    const auto present = std::chrono::steady_clock::now();
    if (present >= next) {
      next = present + limits().heartbeat;
      beat();
    }
    const std::uint64_t calls = calls_.load();
    const bool quiet = std::exchange(seen, calls) == calls && activity_.load() == 0;
    base::Lock lock(pulseMutex_);
    if (!quiet) {
      awake_.waitUntil(pulseMutex_, std::min(next, present + kTick));
      continue;
    }
    dozing_.store(true, std::memory_order_seq_cst);
    if (calls_.load(std::memory_order_seq_cst) == calls) awake_.waitUntil(pulseMutex_, next);
    dozing_.store(false);
  }
}

// Nothing but the end of the process ends what a module does.
void Worker::endOver(const std::string& what) {
  log_.error(what + ": the worker ends");
  kill(getpid(), SIGKILL);
}

void Worker::beat() {
  const ServerLimits bounds = limits();
  const std::int64_t present = monotonicNow();
  const std::int64_t opening = openingSince_.load();
  if (opening != 0 && present - opening > std::chrono::nanoseconds(bounds.call).count())
    endOver("the module has not shown its tokens for " + std::to_string((present - opening) / 1'000'000) + " ms");
  WorkerCounts counts{sessions_.count(), 0, calls_.load()};
  for (const auto& connection : connections()) {
    if (const auto late = connection->overdue(present, bounds)) {
      endOver(std::string(cryptoki::function(late->fn).name) + " has not come back for " +
              std::to_string(late->milliseconds) + " ms");
    }
    counts.inFlight += connection->inFlight();
    connection->heartbeat();
  }
  sendMessage(supervisor_, MessageKind::Counts, counts, {}, false);
}

void workerMain(int descriptor) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // What a large answer took goes back at once: else what clients do not take is bounded, but not what is kept of it.
  mallopt(M_MMAP_THRESHOLD, kLargeBlock);
  signal(SIGPIPE, SIG_IGN);
  // A terminal's are for the supervisor, which ends its workers in order.
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  // Never destroyed: its threads may still be at work when the process ends.
  auto* const worker = new Worker(descriptor);
  _exit(worker->run());
}

}  // namespace p11ha::transport
