#include "cryptoki/local_module.h"

#include <dlfcn.h>

#include <cstring>

#include "cryptoki/return_codes.h"
#include "cryptoki/text.h"

namespace p11ha::cryptoki {
namespace {

// One C_Initialize at a time in the whole process: modules crash when several threads call it at once.
base::Mutex& initializing() {
  static auto* const mutex = new base::Mutex;  // never destroyed: C_Finalize may run after static destructors
  return *mutex;
}

std::string lastDlError() {
  const char* text = dlerror();
  return text == nullptr ? "unknown error" : text;
}

// The module's v3.0 list if it offers one, else its 2.x list: the first 68 entries are the same.
base::Result<FunctionList, std::string> loadFunctions(void* library) {
  FunctionList functions{};
  if (void* symbol = dlsym(library, "C_GetInterface"); symbol != nullptr) {
    const auto getInterface = reinterpret_cast<CK_C_GetInterface>(symbol);
    CK_VERSION version{3, 0};
    CK_UTF8CHAR name[] = "PKCS 11";
    CK_INTERFACE_PTR interface = nullptr;
    if (getInterface(name, &version, &interface, 0) == CKR_OK && interface != nullptr &&
        interface->pFunctionList != nullptr) {
      std::memcpy(&functions, interface->pFunctionList, sizeof functions);
      return functions;
    }
  }
  void* symbol = dlsym(library, "C_GetFunctionList");
  if (symbol == nullptr) return base::Failure{std::string("it has no C_GetFunctionList, so it is no PKCS#11 module")};
  CK_FUNCTION_LIST_PTR list = nullptr;
  const CK_RV rv = reinterpret_cast<CK_C_GetFunctionList>(symbol)(&list);
  if (rv != CKR_OK || list == nullptr) {
    return base::Failure{"its C_GetFunctionList answers " + returnCodeName(rv)};
  }
  std::memcpy(&functions, list, sizeof(CK_FUNCTION_LIST));
  return functions;
}

CK_RV initialize(const FunctionList& functions, const std::string& reserved) {
  if (functions.C_Initialize == nullptr) return CKR_FUNCTION_NOT_SUPPORTED;
  // The standard's 48 bytes, zero-padded to the 56 that modules built with NSS's header read.
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  std::string parameters = reserved;
  if (!reserved.empty()) {
    arguments.LibraryParameters = reinterpret_cast<CK_CHAR_PTR*>(parameters.data());
  }
  return functions.C_Initialize(&arguments);
}

}  // namespace

LocalModule::LocalModule(std::string path, const FunctionList& functions, bool finalizeAtEnd)
    : path_(std::move(path)), functions_(functions), finalizeAtEnd_(finalizeAtEnd) {}

LocalModule::~LocalModule() {
  if (!finalizeAtEnd_.load(std::memory_order_relaxed) || functions_.C_Finalize == nullptr) return;
  base::Lock alone(initializing());
  functions_.C_Finalize(nullptr);
}

base::Result<std::shared_ptr<LocalModule>, std::string> LocalModule::open(const ModuleSpec& spec) {
  const auto failed = [&](const std::string& why) { return base::Failure{"module " + spec.path + ": " + why}; };
  void* library = dlopen(spec.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return failed("cannot be loaded: " + lastDlError());
  const auto functions = loadFunctions(library);
  if (!functions) {
    dlclose(library);
    return failed(functions.error());
  }
  base::Lock alone(initializing());
  const CK_RV rv = initialize(*functions, spec.reserved);
  if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
    return failed("its C_Initialize answers " + returnCodeName(rv));
  }
  return std::shared_ptr<LocalModule>(new LocalModule(spec.path, *functions, rv == CKR_OK));
}

base::Result<std::vector<TokenInSlot>, CK_RV> LocalModule::tokens() const {
  std::vector<CK_SLOT_ID> slots;
  CK_RV rv = CKR_BUFFER_TOO_SMALL;
  // The number of slots may grow between the two calls.
  for (int tries = 0; rv == CKR_BUFFER_TOO_SMALL && tries < 8; ++tries) {
    CK_ULONG count = 0;
    rv = invoke(functions_, makeCall<Fn::GetSlotList>(CK_BBOOL{CK_TRUE}, nullptr, &count));
    if (rv != CKR_OK) break;
    slots.resize(count);
    rv = invoke(functions_, makeCall<Fn::GetSlotList>(CK_BBOOL{CK_TRUE}, slots.data(), &count));
    slots.resize(rv == CKR_OK ? count : 0);
  }
  if (rv != CKR_OK) return base::Failure{rv};
  std::vector<TokenInSlot> tokens;
  for (const CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    if (invoke(functions_, makeCall<Fn::GetTokenInfo>(slot, &info)) != CKR_OK) continue;
    tokens.push_back({slot, unpad(info.serialNumber), unpad(info.label)});
  }
  return tokens;
}

LocalMember::LocalMember(std::shared_ptr<LocalModule> module, std::string serial, std::optional<CK_SLOT_ID> slot)
    : module_(std::move(module)), serial_(std::move(serial)), fixedSlot_(slot) {}

CK_RV LocalMember::attach() {
  base::Lock lock(attaching_);
  if (attached_) {
    // Where it was before: the token's own answer says more than its absence from a list.
    CK_TOKEN_INFO info{};
    const CK_RV rv = invoke(module_->functions(), makeCall<Fn::GetTokenInfo>(slot_.load(), &info));
    if (rv == CKR_OK && unpad(info.serialNumber) == ownSerial_) return CKR_OK;
    if (rv != CKR_OK && rv != CKR_SLOT_ID_INVALID && rv != CKR_TOKEN_NOT_PRESENT) return rv;
  }
  const auto tokens = module_->tokens();
  if (!tokens) return tokens.error();
  for (const TokenInSlot& token : *tokens) {
    if (fixedSlot_ ? token.slot != *fixedSlot_ : token.serial != serial_) continue;
    if (attached_ && token.serial != ownSerial_) return CKR_TOKEN_NOT_RECOGNIZED;
    slot_.store(token.slot, std::memory_order_release);
    ownSerial_ = token.serial;
    attached_ = true;
    return CKR_OK;
  }
  return CKR_TOKEN_NOT_PRESENT;
}

Outcome LocalMember::execute(const Call& call) {
  if (function(call.fn).route != Route::Slot) return {invoke(module_->functions(), call), Fate::Answered};
  const CK_SLOT_ID slot = slot_.load(std::memory_order_acquire);
  if (slot == kNoSlot) return {CKR_TOKEN_NOT_PRESENT, Fate::NotSent};
  Call own = call;
  own.setSlot(slot);
  return {invoke(module_->functions(), own), Fate::Answered};
}

}  // namespace p11ha::cryptoki
