#include "testbed/load/load.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "cryptoki/return_codes.h"

namespace p11ha::testbed {

using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kLongGap{3};  // longer than a silent member is waited for

}  // namespace

void LoadTally::add(const LoadTally& other) {
  calls += other.calls;
  failed += other.failed;
  wrong += other.wrong;
  longestGap = std::max(longestGap, other.longestGap);
}

std::string Load::start(unsigned threads) {
  setKind("warm-up");
  for (unsigned i = 0; i < threads; ++i) {
    auto worker = std::make_unique<Worker>();
    worker->state = std::make_unique<LoadThread>(LoadThread{functions_, keys_, CK_INVALID_HANDLE, std::mt19937_64(i)});
    const CK_RV rv =
        functions_.C_OpenSession(slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &worker->state->session);
    if (rv != CKR_OK) return "C_OpenSession: " + cryptoki::returnCodeName(rv);
    workers_.push_back(std::move(worker));
  }
  for (const auto& worker : workers_) worker->thread = std::thread(&Load::work, this, std::ref(*worker));
  base::Lock lock(mutex_);
  while (warm_.load() < threads) warmed_.wait(mutex_);
  return "";
}

bool Load::setKind(const std::string& kind) {
  base::Lock lock(mutex_);
  const auto known = std::find(kinds_.begin(), kinds_.end(), kind);
  const auto index = static_cast<std::size_t>(known - kinds_.begin());
  if (known == kinds_.end()) {
    if (kinds_.size() == kKinds) return false;
    kinds_.push_back(kind);
  }
  kind_.store(index);
  return true;
}

void Load::stop() {
  over_.store(true);
  for (const auto& worker : workers_) {
    if (!worker->thread.joinable()) continue;
    worker->thread.join();
    functions_.C_CloseSession(worker->state->session);
  }
}

std::map<std::string, LoadTally> Load::tallies() const {
  base::Lock lock(mutex_);
  std::map<std::string, LoadTally> all;
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    for (const auto& worker : workers_) all[kinds_[kind]].add(worker->tallies[kind]);
  }
  return all;
}

void Load::work(Worker& worker) {
  const auto operations = loadOperations();
  LoadThread& thread = *worker.state;
  Clock::time_point wantedSince = Clock::now();
  std::size_t kindThen = kind_.load();
  for (std::size_t done = 0; !over_.load(std::memory_order_relaxed); ++done) {
    const bool warming = done < operations.size();
    const LoadOperation& operation = operations[warming ? done : thread.random() % operations.size()];
    const LoadOutcome outcome = operation.run(thread);
    const Clock::time_point now = Clock::now();
    const std::size_t kind = kind_.load();
    LoadTally& tally = worker.tallies[kind];
    ++tally.calls;
    if (outcome.rv != CKR_OK || !outcome.right) {
      ++(outcome.rv != CKR_OK ? tally.failed : tally.wrong);
      report(operation, outcome.rv == CKR_OK ? "a wrong output" : cryptoki::returnCodeName(outcome.rv), kind);
      openAgain(thread);
    } else {
      // It belongs to what was in force when it began, and to what was when it ended.
      const Clock::duration gap = now - wantedSince;
      if (gap > kLongGap) {
        const auto length = std::chrono::duration_cast<std::chrono::milliseconds>(gap);
        report(operation, "took " + std::to_string(length.count()) + " ms", kind);
      }
      for (const std::size_t each : {kindThen, kind}) {
        worker.tallies[each].longestGap = std::max(worker.tallies[each].longestGap, gap);
      }
      if (rest_.count() != 0) std::this_thread::sleep_for(rest_);
      wantedSince = Clock::now();
      kindThen = kind_.load();
    }
    if (done + 1 == operations.size()) {
      base::Lock lock(mutex_);
      ++warm_;
      warmed_.notifyAll();
    }
  }
}

void Load::report(const LoadOperation& operation, const std::string& what, std::size_t kind) {
  base::Lock lock(mutex_);
  char time[16] = {};
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::strftime(time, sizeof time, "%H:%M:%S", localtime_r(&now, &parts));
  std::fprintf(stderr, "%s %s: %s: %s\n", time, kinds_[kind].c_str(), std::string(operation.name).c_str(),
               what.c_str());
}

// What failed may have left an operation active.
void Load::openAgain(LoadThread& thread) {
  functions_.C_CloseSession(thread.session);
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  const CK_RV rv = functions_.C_OpenSession(slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session);
  if (rv == CKR_OK) thread.session = session;
}

}  // namespace p11ha::testbed
