#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string_view>

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

// The lists point at functions of our own, not at the exported symbols, which another library's may pre-empt.
template <Fn F, class Signature>
struct Listed;
template <Fn F, class... Params>
struct Listed<F, CK_RV (*)(Params...)> {
  static CK_RV run(Params... params) { return Entry<F>::run(params...); }
};

constexpr CK_FUNCTION_LIST_3_0 kFunctions = [] {
  CK_FUNCTION_LIST_3_0 list{};
  list.version = {3, 0};
#define FN(name, ...) list.C_##name = &Listed<Fn::name, CK_C_##name>::run;
#include "cryptoki/functions.def"
#undef FN
  return list;
}();

constexpr CK_FUNCTION_LIST kOldFunctions = [] {
  CK_FUNCTION_LIST list{};
  list.version = {2, 40};
#define CK_PKCS11_FUNCTION_INFO(name) list.name = kFunctions.name;
#undef CK_PKCS11_3_0
#include <nss/pkcs11f.h>
#undef CK_PKCS11_FUNCTION_INFO
  return list;
}();

CK_UTF8CHAR interfaceName[] = "PKCS 11";
// The standard's types do not say that they are constant.
CK_INTERFACE interfaces[] = {{interfaceName, const_cast<CK_FUNCTION_LIST_3_0*>(&kFunctions), 0},
                             {interfaceName, const_cast<CK_FUNCTION_LIST*>(&kOldFunctions), 0}};

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

CK_RV getFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  if (list == nullptr) return CKR_ARGUMENTS_BAD;
  *list = const_cast<CK_FUNCTION_LIST*>(&kOldFunctions);
  return CKR_OK;
}

CK_RV getInterfaceList(CK_INTERFACE_PTR out, CK_ULONG_PTR count) {
  if (count == nullptr) return CKR_ARGUMENTS_BAD;
  const CK_ULONG capacity = *count;
  *count = std::size(interfaces);
  if (out == nullptr) return CKR_OK;
  if (capacity < *count) return CKR_BUFFER_TOO_SMALL;
  std::copy(std::begin(interfaces), std::end(interfaces), out);
  return CKR_OK;
}

CK_RV getInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface, CK_FLAGS flags) {
  if (interface == nullptr) return CKR_ARGUMENTS_BAD;
  const std::string_view asked = name == nullptr ? "PKCS 11" : reinterpret_cast<const char*>(name);
  for (CK_INTERFACE& each : interfaces) {
    const auto* offered = static_cast<const CK_VERSION*>(each.pFunctionList);
    const bool same = version == nullptr || (version->major == offered->major && version->minor == offered->minor);
    if (asked == "PKCS 11" && same && (flags & ~each.flags) == 0) {
      *interface = &each;
      return CKR_OK;
    }
  }
  return CKR_ARGUMENTS_BAD;
}

}  // namespace p11ha::testbed
