// A worker process: one client application's calls on one module.
#pragma once

#include <map>

#include "cryptoki/modules.h"
#include "transport/server/connection.h"
#include "transport/server/costs.h"
#include "transport/server/crew.h"

namespace p11ha::transport {

/// The whole of a worker process. run() is the thread that hears the supervisor; the others are the connections'
/// readers, the crew's, and the pulse.
class Worker {
 public:
  explicit Worker(int supervisor);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Until the supervisor lets go of it. The status to exit with, at once: threads may still be at work.
  int run();

  /// What connections need. Any thread.
  Log& log() { return log_; }
  Crew& crew() { return crew_; }
  Costs& costs() { return costs_; }
  Sessions& sessions() { return sessions_; }
  ServerLimits limits() const P11HA_EXCLUDES(mutex_);
  TaskPtr newTask() P11HA_EXCLUDES(tasksMutex_);
  void giveBack(TaskPtr task) P11HA_EXCLUDES(tasksMutex_);

  /// What a client gets that has shown its certificate and asks for a partition: either the greeting and the token, or
  /// why not.
  struct Admission {
    std::optional<Goodbye> refused;
    Greeting greeting;
    ServedToken* token = nullptr;
  };
  Admission admit(const ClientIdentity& client, const std::string& serial) P11HA_EXCLUDES(mutex_);

  void ready(const Connection& connection, const ClientIdentity& client, const std::string& application,
             const std::string& serial);
  void closed(const Connection& connection) P11HA_EXCLUDES(mutex_);

  /// Counts what must not be cut off when the process ends.
  class Activity {
   public:
    explicit Activity(Worker& worker) : worker_(worker) { worker_.activity_.fetch_add(1); }
    ~Activity() { worker_.activity_.fetch_sub(1); }
    Activity(const Activity&) = delete;
    Activity& operator=(const Activity&) = delete;

   private:
    Worker& worker_;
  };
  /// A call begins: the pulse looks after it.
  void stir() {
    calls_.fetch_add(1, std::memory_order_relaxed);
    if (dozing_.load(std::memory_order_seq_cst)) [[unlikely]]
      wakePulse();
  }

 private:
  bool obey(Message& message);
  bool setUp(Message& message);
  int survey(const WorkerSetup& setup);
  void take(Message& message);
  void apply(const StandingsUpdate& update);
  void restrict();
  void pulse();
  void beat();
  void endOver(const std::string& what);
  [[gnu::cold]] void wakePulse() P11HA_EXCLUDES(pulseMutex_);
  int finish();
  ServedToken* known(const std::string& serial) const P11HA_REQUIRES(mutex_);
  bool isUnused() const P11HA_EXCLUDES(mutex_);
  std::unique_ptr<ServedToken> tryToOpen(const Partition& partition, const ServedModule& served, std::string& why)
      P11HA_REQUIRES(opening_);
  ServedToken* open(const Partition& partition, const ServedModule& served, std::string& why)
      P11HA_EXCLUDES(mutex_, opening_);
  std::vector<std::shared_ptr<Connection>> connections() const P11HA_EXCLUDES(mutex_);
  static PartitionState stateOf(const Standings& standings, const std::string& serial, const ClientIdentity& client,
                                std::uint64_t& deactivations);

  const int supervisor_;
  Log log_;
  cryptoki::Modules modules_;
  Crew crew_;
  Costs costs_;
  Sessions sessions_;

  mutable base::Mutex mutex_;
  WorkerSetup setup_ P11HA_GUARDED_BY(mutex_);
  std::shared_ptr<SSL_CTX> context_ P11HA_GUARDED_BY(mutex_);
  Standings standings_ P11HA_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<ServedToken>> tokens_ P11HA_GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections_ P11HA_GUARDED_BY(mutex_);
  /// Whose application this is: the first whose certificate may use a partition.
  std::optional<ClientIdentity> owner_ P11HA_GUARDED_BY(mutex_);

  base::Mutex opening_;  // before mutex_; held across the module's calls
  std::shared_ptr<cryptoki::LocalModule> module_ P11HA_GUARDED_BY(opening_);
  std::atomic<std::int64_t> openingSince_{0};  // of monotonicNow(); 0: nobody is at it

  base::Mutex tasksMutex_;
  std::vector<TaskPtr> tasks_ P11HA_GUARDED_BY(tasksMutex_);
  Limits taskLimits_ P11HA_GUARDED_BY(tasksMutex_);

  std::atomic<std::uint64_t> calls_{0};
  std::atomic<long> activity_{0};
  std::atomic<bool> dozing_{false};
  base::Mutex pulseMutex_;
  base::Condition awake_;
};

/// What a process does that was started as a worker: `descriptor` is its end of the socket. Does not return.
[[noreturn]] void workerMain(int descriptor);

}  // namespace p11ha::transport
