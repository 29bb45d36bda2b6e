#include "pkcs11/process.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "pkcs11/initialize_arguments.h"

namespace p11ha::pkcs11 {

using detail::Door;
using detail::ForkPage;

namespace {

// How long the end of the process waits for a C_Initialize or C_Finalize on another thread.
constexpr std::chrono::seconds kExitPatience{2};

// A process's state, never destroyed once it is in use. A forked child makes its own and leaves its parent's alone: the
// mutexes in there may be held, and the threads do not exist.
struct Process : Door {
  explicit Process(const Process* parent)
      : modules(parent == nullptr ? nullptr : &parent->modules, parent != nullptr && parent->mayBeInModules()) {}
  ~Process() { delete gate.load(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Whether a thread may be inside a module: asked by a child of fork of its parent's state, hence without a lock.
  bool mayBeInModules() const {
    const base::Gate<Runtime>& present = *gate.load();
    const Runtime* const running = present.behind();
    return changing.load() || stuck.load() || !present.empty() || (running != nullptr && !running->idle());
  }

  cryptoki::Modules modules;

  // C_Initialize and C_Finalize take turns.
  base::Mutex turns;
  base::Condition turnOver;
  std::atomic<bool> changing{false};  // set under `turns`

  // Runtimes that a call is stuck in, where leak checkers find them. Changed by whoever has the turn.
  std::vector<Runtime*> abandoned;
  std::atomic<bool> stuck{false};  // in a runtime that was left

  std::atomic<bool> hasConnected{false};

  std::atomic<bool> exiting{false};      // the modules' own clean-up may have run: they are not called any more
  std::atomic<bool> endedByExit{false};  // what the application's C_Finalize would have ended
};

constinit ForkPage noPage{};
// The one on the page once more, for a child to know its parent's by, and for leak checkers, which do not look at
// mapped pages.
std::atomic<Process*> lastProcess{nullptr};

ForkPage& ownPage() {
  if (ForkPage* page = detail::forkPage.load(std::memory_order_acquire); page != &noPage) return *page;
  void* memory = mmap(nullptr, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  madvise(memory, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), MADV_WIPEONFORK);
  auto* const fresh = new (memory) ForkPage{};
  ForkPage* expected = &noPage;
  if (detail::forkPage.compare_exchange_strong(expected, fresh)) return *fresh;
  munmap(memory, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  return *expected;
}

Process* presentProcess() {
  Door* const door = detail::forkPage.load(std::memory_order_acquire)->door.load(std::memory_order_acquire);
  return static_cast<Process*>(door);
}

Process& ownProcess() {
  if (Process* const process = presentProcess()) return *process;
  auto fresh = std::make_unique<Process>(lastProcess.load());
  Door* expected = nullptr;
  if (!ownPage().door.compare_exchange_strong(expected, fresh.get())) return static_cast<Process&>(*expected);
  lastProcess.store(fresh.get());
  return *fresh.release();
}

// The right to change what is initialised.
class Turn {
 public:
  /// Waits for it; without it once `until` has come.
  Turn(Process& process, base::Monotonic until) : process_(process) {
    base::Lock lock(process_.turns);
    while (process_.changing.load()) {
      if (std::chrono::steady_clock::now() >= until) return;
      process_.turnOver.waitUntil(process_.turns, until);
    }
    process_.changing.store(true);
    held_ = true;
  }
  ~Turn() {
    if (!held_) return;
    base::Lock lock(process_.turns);
    process_.changing.store(false);
    process_.turnOver.notifyAll();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  explicit operator bool() const { return held_; }

 private:
  Process& process_;
  bool held_ = false;
};

// False where there was nothing to end.
bool end(Process& process) {
  base::Gate<Runtime>& gate = *process.gate.load();
  Runtime* const runtime = gate.close();
  if (runtime == nullptr) return false;
  if (runtime->shutDown(gate)) {
    delete runtime;
    return true;
  }
  process.stuck.store(true);
  process.abandoned.push_back(runtime);
  // A call that did not come back keeps the runtime: it is left in memory rather than pulled from under it.
  if (!gate.empty()) process.gate.store(new base::Gate<Runtime>);
  return true;
}

// Runs before the clean-up of the modules and of the libraries they use, which were loaded earlier: none of it may find
// a call inside, and C_Finalize may come when it is over.
void atExit() {
  Process* const process = presentProcess();
  if (process == nullptr) return;
  const Turn turn(*process, std::chrono::steady_clock::now() + kExitPatience);
  process->exiting.store(true);
  if (turn && end(*process)) process->endedByExit.store(true);
}

}  // namespace

constinit std::atomic<ForkPage*> detail::forkPage{&noPage};

namespace {

// Handlers run in the reverse order of their registration, and modules register theirs when they are loaded. So do the
// libraries that connections use, when the first of these is made.
void comeBeforeModules(Process& process, const Runtime& runtime) {
  const bool connects = runtime.connects() && !process.hasConnected.exchange(true);
  if (process.modules.takeLoaded() || connects) std::atexit(&atExit);
}

}  // namespace

CK_RV initialize(const cryptoki::InitializeArgs* arguments) {
  if (const CK_RV rv = checkInitializeArguments(arguments); rv != CKR_OK) return rv;
  Process& process = ownProcess();
  const Turn turn(process, base::Monotonic::max());
  if (process.exiting.load()) return CKR_GENERAL_ERROR;
  if (process.gate.load()->behind() != nullptr) return CKR_CRYPTOKI_ALREADY_INITIALIZED;
  std::unique_ptr<Runtime> runtime;
  const CK_RV rv = Runtime::create(process.modules, runtime,
                                   [&process](const Runtime& extended) { comeBeforeModules(process, extended); });
  if (rv != CKR_OK) return rv;
  comeBeforeModules(process, *runtime);
  process.gate.load()->open(*runtime.release());
  return rv;
}

CK_RV finalize(const void* reserved) {
  if (reserved != nullptr) return CKR_ARGUMENTS_BAD;
  Process& process = ownProcess();
  const Turn turn(process, base::Monotonic::max());
  return end(process) || process.endedByExit.exchange(false) ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
}

}  // namespace p11ha::pkcs11
