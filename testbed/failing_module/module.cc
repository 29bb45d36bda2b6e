#include <atomic>
#include <cstdio>

#include "base/mutex.h"
#include "testbed/failing_module/entry.h"
#include "testbed/failing_module/runtime.h"
#include "testbed/failing_module/wrapped_module.h"

namespace p11ha::testbed {
namespace {

using cryptoki::Call;
using cryptoki::Fn;

std::atomic<Runtime*> current{nullptr};

base::Mutex& lifecycle() {
  static auto* const mutex = new base::Mutex;  // never destroyed: C_Finalize may run after static destructors
  return *mutex;
}

// Under lifecycle().
Runtime* runtimeToInitialize() {
  Runtime* known = current.load(std::memory_order_acquire);
  if (known != nullptr && known->own()) return known;
  if (known != nullptr) known->abandon();
  const auto wrapped = loadWrappedModule(wrappedModulePath());
  if (!wrapped) {
    std::fprintf(stderr, "p11ha-failing: %s\n", wrapped.error().c_str());
    return nullptr;
  }
  auto* made = new Runtime(*wrapped);
  current.store(made, std::memory_order_release);
  return made;
}

}  // namespace

CK_RV enter(const Call& call) {
  if (call.fn == Fn::Initialize) {
    base::Lock alone(lifecycle());
    Runtime* runtime = runtimeToInitialize();
    return runtime == nullptr ? CKR_GENERAL_ERROR : runtime->initialize(call);
  }
  Runtime* runtime = current.load(std::memory_order_acquire);
  if (runtime == nullptr || !runtime->running()) return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (call.fn != Fn::Finalize) return runtime->handle(call);
  base::Lock alone(lifecycle());
  // What a forked child never initialised is not its own to finalize.
  if (!runtime->own() || !runtime->running()) return CKR_CRYPTOKI_NOT_INITIALIZED;
  return runtime->handle(call);
}

}  // namespace p11ha::testbed
