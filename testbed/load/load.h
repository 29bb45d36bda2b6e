// Threads that work, and what they met while something was done to the members.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "testbed/load/operations.h"

namespace p11ha::testbed {

/// What happened while one kind of fault was in force.
struct LoadTally {
  std::uint64_t calls = 0;  // operations
  std::uint64_t failed = 0;
  std::uint64_t wrong = 0;
  std::chrono::steady_clock::duration longestGap{0};  // that any thread waited for an operation to end well

  void add(const LoadTally& other);
};

/// Owned and told by one thread. Failures, wrong outputs and long gaps are shown on standard error as they come.
class Load {
 public:
  /// Each thread rests for so long after each operation.
  Load(const cryptoki::FunctionList& functions, const LoadKeys& keys, CK_SLOT_ID slot, std::chrono::milliseconds rest)
      : functions_(functions), keys_(keys), slot_(slot), rest_(rest) {}
  ~Load() { stop(); }

  /// The error is ready to be shown. Returns when every thread has done everything once.
  std::string start(unsigned threads);
  /// What is done from now on counts for that kind of fault. False once there are too many kinds.
  bool setKind(const std::string& kind);
  void stop();
  /// By kind, after stop().
  std::map<std::string, LoadTally> tallies() const;

 private:
  static constexpr std::size_t kKinds = 32;
  struct alignas(64) Worker {
    std::thread thread;
    std::unique_ptr<LoadThread> state;
    std::array<LoadTally, kKinds> tallies;
  };

  void work(Worker& worker);
  void report(const LoadOperation& operation, const std::string& what, std::size_t kind);
  void openAgain(LoadThread& thread);

  const cryptoki::FunctionList& functions_;
  const LoadKeys& keys_;
  const CK_SLOT_ID slot_;
  const std::chrono::milliseconds rest_;
  std::atomic<bool> over_{false};
  std::atomic<std::size_t> kind_{0};
  std::atomic<unsigned> warm_{0};
  mutable base::Mutex mutex_;
  base::Condition warmed_;
  std::vector<std::string> kinds_ P11HA_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace p11ha::testbed
