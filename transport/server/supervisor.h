// The appliance's first process: it listens, looks at who comes, and hands each connection to the worker of its
// application. It never touches TLS, a module or a request.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <set>

#include "base/clock.h"
#include "transport/server/listener.h"
#include "transport/server/survey.h"

namespace p11ha::transport {

/// One thread, that of run(). Signals SIGTERM, SIGINT, SIGHUP and SIGCHLD are its own.
class Supervisor {
 public:
  /// The settings as the configuration has them now, or what is wrong with it, a line each.
  using Reread = std::function<base::Result<ServerSettings, std::vector<std::string>>()>;

  Supervisor(ServerSettings settings, Reread reread, Log& log);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Checks certificates, asks the modules for their tokens, listens. The error is ready to be shown.
  std::optional<std::string> start();
  std::uint16_t port() const { return listener_.port(); }
  /// Until SIGTERM or SIGINT, and what was in flight then is answered. The status to exit with.
  int run();

 private:
  using Id = std::uint64_t;
  struct Key {
    ApplicationId application{};
    std::optional<std::size_t> module;
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the zero of a defaulted comparison for a pointer.
    auto operator<=>(const Key&) const = default;
  };
  struct Served {
    std::string address;
    std::string serial;
    ClientIdentity client;
    std::string application;
    base::Wall since;
  };
  struct Worker {
    Id id = 0;
    Key key;
    WorkerProcess process;
    WorkerCounts counts;
    std::set<Id> connections;
    std::string origin;  // of who had it begun
    base::Monotonic begun;
    bool everProven = false;
    base::Monotonic heard;  // when its pulse was
    bool owedSetup = true;
    std::uint64_t told = ~0ULL;  // the sequence of the standings that it was told
    std::uint64_t applied = 0;   // ... and of those that are in force there
  };
  // A connection whose client has not shown who it is.
  struct Unfinished {
    Id id = 0;
    base::Descriptor socket;  // until it is handed over
    Id worker = 0;            // then
    std::string address;
    std::string origin;
    base::Monotonic until;
    std::optional<Destination> wants;  // where it waits for room for its application
  };
  struct Ending {
    base::Monotonic until;
    bool killed = false;  // by the supervisor, which has said why
    std::string origin;   // of who had it begun and never showed who it was
  };
  struct Controller {
    base::Descriptor socket;
    std::string line;
    std::string answer;
    std::uint64_t awaited = 0;  // the sequence that all workers must have applied before it is answered
    std::uint64_t reload = 0;   // the reload that it waits for; 0: none
    bool waitsForRoom = false;  // has taken a part of its answer
    base::Monotonic until;
    base::Monotonic idleUntil;  // without a whole request, it gives way to another then
    bool asked() const { return !answer.empty() || awaited != 0 || reload != 0; }
  };
  // Settings that are to be taken over, if what they name is there.
  struct Loading {
    Loading(ServerSettings fresh, WorkerFiles copies, const std::vector<ServedModule>& modules)
        : settings(std::move(fresh)), files(std::move(copies)), survey(modules) {}
    ServerSettings settings;
    WorkerFiles files;
    Survey survey;
    base::Descriptor log;  // of a reload
  };

  std::optional<std::string> begin(ServerSettings settings);
  bool take(bool whole);

  void turn();
  int patience() const;
  void expire();
  void expireUnfinished();

  void accept();
  void refuse(const std::string& address, const std::string& why);
  void makeRoom();
  bool isProven(const Worker& worker) const;
  bool makeRoomForUnproven(const std::string& origin);
  void look(Id id, std::uint32_t events);
  bool route(std::list<Unfinished>::iterator waiting, const Destination& destination);
  void routeWaiting();
  bool tooManyProven(const std::string& address);
  Worker* beginWorker(const Key& key, const std::string& origin);
  bool setUp(const Worker& worker);
  void tell(Worker& worker);
  bool owes(const Worker& worker) const { return worker.owedSetup || worker.told != sequence_; }
  std::optional<std::string> tooMuchOf(const ClientIdentity& client, const Worker& worker) const;
  static void dropInWorker(const Worker& worker, Id connection, const std::string& why);
  void hear(Id worker);
  void obey(Worker& worker, Message& message);
  void closed(Worker& worker, Id connection);
  void letGo(Worker& worker);
  void forget(Worker& worker);
  void reap();
  void postpone(std::list<Unfinished>::iterator waiting, base::Monotonic until);
  void dropUnfinished(Id id, const std::string& why);

  void signal();
  void reload();
  std::optional<std::string> beginReload();
  void endReload();
  void reloaded(const std::optional<std::string>& wrong);
  void drain();

  void acceptController();
  bool roomForController();
  void hearController(Id id);
  /// What to answer at once; nothing: later.
  std::string command(const std::vector<std::string>& words, Controller& controller);
  static void change(const std::string& verb, Standing& standing, const std::string& client);
  std::string listPartitions() const;
  std::string listClients() const;
  void publish();
  void answerControllers();
  bool sendAnswer(Id id, Controller& controller);

  std::optional<std::string> loadStandings();
  bool saveStandings();
  const Partition* find(std::string_view name) const;
  void watch(int descriptor, std::uint32_t events, std::uint64_t key);

  ServerSettings settings_;
  const Reread reread_;
  Log& log_;
  InstanceId instance_{};
  WorkerFiles files_;
  std::vector<Partition> partitions_;
  Standings standings_;
  std::uint64_t sequence_ = 0;

  base::Descriptor poll_;
  base::Descriptor signals_;
  Listener listener_;
  Listener control_;
  std::string controlPath_;
  Id nextId_ = 1;
  std::list<Unfinished> unfinished_;  // the oldest first
  std::map<Id, std::list<Unfinished>::iterator> unfinishedById_;
  std::set<Id> waiting_;         // of those, who want a worker and have to wait for room; some may have gone
  base::Monotonic mayMakeRoom_;  // for one of them, if nothing else happens
  std::map<Id, Served> served_;
  std::map<Id, Worker> workers_;
  std::map<Key, Id> workerOf_;
  std::map<pid_t, Ending> ending_;  // let go, not yet ended
  std::map<Id, Controller> controllers_;
  bool controllersWait_ = false;  // there is no room, and others have connected
  std::unique_ptr<Loading> loading_;
  bool reloading_ = false;     // loading_ is a reload's
  bool reloadAgain_ = false;   // after it
  std::uint64_t reloads_ = 0;  // done, well or not
  bool draining_ = false;
  base::Monotonic drainUntil_;
};

}  // namespace p11ha::transport
