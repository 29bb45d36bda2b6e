#include "pkcs11/process.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "pkcs11/initialize_arguments.h"

namespace p11ha::pkcs11 {
namespace {

// A process's state. A forked child makes its own and leaves its parent's alone: the mutexes in there may be held, and
// the threads do not exist.
struct Process {
  Process() { gate.load()->close(); }

  base::Mutex initializing;
  std::atomic<Runtime*> runtime{nullptr};
  // Open while `runtime` is there. Never destroyed: somebody may be leaving it. One in which a call is stuck is left to
  // it, and another takes its place.
  std::atomic<base::Gate*> gate{new base::Gate};
};

// A page that reads as zero in a child of fork (MADV_WIPEONFORK), so that noticing one costs a load.
struct ForkPage {
  std::atomic<Process*> process;
};

std::atomic<ForkPage*> forkPage{nullptr};
// The same once more where leak checkers look: they do not follow pointers in mapped pages.
std::atomic<Process*> lastProcess{nullptr};

ForkPage& ownPage() {
  if (ForkPage* page = forkPage.load(std::memory_order_acquire)) return *page;
  void* memory = mmap(nullptr, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  madvise(memory, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), MADV_WIPEONFORK);
  auto* const fresh = new (memory) ForkPage{};
  ForkPage* expected = nullptr;
  if (forkPage.compare_exchange_strong(expected, fresh)) return *fresh;
  munmap(memory, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  return *expected;
}

Process& ownProcess() {
  ForkPage& page = ownPage();
  if (Process* process = page.process.load(std::memory_order_acquire)) return *process;
  auto fresh = std::make_unique<Process>();
  Process* expected = nullptr;
  if (page.process.compare_exchange_strong(expected, fresh.get())) {
    lastProcess.store(fresh.get());
    return *fresh.release();
  }
  return *expected;
}

}  // namespace

CK_RV initialize(const cryptoki::InitializeArgs* arguments) {
  if (const CK_RV rv = checkInitializeArguments(arguments); rv != CKR_OK) return rv;
  Process& process = ownProcess();
  base::Lock lock(process.initializing);
  if (process.runtime.load() != nullptr) return CKR_CRYPTOKI_ALREADY_INITIALIZED;
  std::unique_ptr<Runtime> runtime;
  const CK_RV rv = Runtime::create(runtime);
  if (rv == CKR_OK) {
    process.runtime.store(runtime.release());
    process.gate.load()->open();
  }
  return rv;
}

CK_RV finalize(const void* reserved) {
  if (reserved != nullptr) return CKR_ARGUMENTS_BAD;
  Process& process = ownProcess();
  base::Lock lock(process.initializing);
  Runtime* const runtime = process.runtime.exchange(nullptr);
  if (runtime == nullptr) return CKR_CRYPTOKI_NOT_INITIALIZED;
  base::Gate& gate = *process.gate.load();
  gate.close();
  if (runtime->shutDown(gate)) {
    delete runtime;
  } else if (!gate.waitEmpty(std::chrono::steady_clock::now())) {
    // A call that did not come back keeps the runtime: it is left in memory rather than pulled from under it.
    auto* const fresh = new base::Gate;
    fresh->close();
    process.gate.store(fresh);
  }
  return CKR_OK;
}

Entry::Entry() {
  ForkPage* const page = forkPage.load(std::memory_order_acquire);
  Process* const process = page == nullptr ? nullptr : page->process.load(std::memory_order_acquire);
  if (process == nullptr) return;
  gate_ = process->gate.load(std::memory_order_acquire);
  if (!gate_->enter()) return;
  runtime_ = process->runtime.load(std::memory_order_acquire);
  if (runtime_ == nullptr) gate_->leave();
}

}  // namespace p11ha::pkcs11
