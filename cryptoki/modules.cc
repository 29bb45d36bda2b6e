#include "cryptoki/modules.h"

#include <dlfcn.h>
#include <link.h>

#include <cstring>

#include "cryptoki/module_copy.h"
#include "cryptoki/return_codes.h"

namespace p11ha::cryptoki {
namespace {

std::string lastDlError() {
  const char* text = dlerror();
  return text == nullptr ? "unknown error" : text;
}

std::string fileOf(void* library, const std::string& path) {
  link_map* map = nullptr;
  return dlinfo(library, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 ? map->l_name : path;
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
        interface->pFunctionList != nullptr && static_cast<const CK_VERSION*>(interface->pFunctionList)->major == 3) {
      std::memcpy(&functions, interface->pFunctionList, sizeof functions);
      return functions;
    }
  }
  void* symbol = dlsym(library, "C_GetFunctionList");
  if (symbol == nullptr) return base::Failure{std::string("it has no C_GetFunctionList, so it is no PKCS#11 module")};
  CK_FUNCTION_LIST_PTR list = nullptr;
  const CK_RV rv = reinterpret_cast<CK_C_GetFunctionList>(symbol)(&list);
  if (rv != CKR_OK) return base::Failure{"its C_GetFunctionList answers " + returnCodeName(rv)};
  if (list == nullptr) return base::Failure{std::string("its C_GetFunctionList gives no list")};
  std::memcpy(&functions, list, sizeof(CK_FUNCTION_LIST));
  return functions;
}

CK_RV callInitialize(const FunctionList& functions, const std::string& reserved) {
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

void callFinalize(const FunctionList& functions) {
  if (functions.C_Finalize != nullptr) functions.C_Finalize(nullptr);
}

bool isUsable(CK_RV initialized) { return initialized == CKR_OK || initialized == CKR_CRYPTOKI_ALREADY_INITIALIZED; }

}  // namespace

LoadedModule* Modules::find(const std::string& path) const {
  LoadedModule* module = known_.load(std::memory_order_acquire);
  while (module != nullptr && module->path != path) module = module->next;
  return module;
}

Modules::Inherited Modules::inherited(const std::string& path) const {
  bool busy = busy_;
  for (const Modules* from = parents_; from != nullptr; from = from->parents_) {
    if (const LoadedModule* module = from->find(path); module != nullptr) return {module, busy};
    busy = busy || from->busy_;
  }
  return {};
}

LoadedModule* Modules::add(const std::string& path, std::string file, const FunctionList& functions) {
  auto* const module = new LoadedModule{path, std::move(file), functions, false, known_.load()};
  known_.store(module, std::memory_order_release);
  return module;
}

base::Result<LoadedModule*, std::string> Modules::add(const std::string& path, void* library, std::string file) {
  const auto functions = loadFunctions(library);
  if (!functions) {
    dlclose(library);
    return base::Failure{functions.error()};
  }
  loaded_.store(true);
  return add(path, std::move(file), *functions);
}

base::Result<LoadedModule*, std::string> Modules::load(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return base::Failure{"cannot be loaded: " + lastDlError()};
  return add(path, library, fileOf(library, path));
}

// Of a library that threads of the parent were in. Null where it cannot be loaded twice: it is used as it is, then, and
// may know about forks itself.
LoadedModule* Modules::openCopy(const ModuleSpec& spec, const LoadedModule& original) {
  LoadedModule* copy = known_.load();
  while (copy != nullptr && copy->file != original.file) copy = copy->next;
  if (copy == nullptr) {
    void* const library = loadModuleCopy(original.file);
    if (library == nullptr) return nullptr;
    const auto added = add(spec.path, library, original.file);
    if (!added) return nullptr;
    copy = *added;
  } else {
    copy = add(spec.path, original.file, copy->functions);
  }
  return isUsable(initializeAlone(*copy, spec.reserved)) ? copy : nullptr;
}

base::Result<std::shared_ptr<LocalModule>, std::string> Modules::open(const ModuleSpec& spec) {
  base::Lock alone(mutex_);
  const auto failed = [&](const std::string& why) { return base::Failure{"module " + spec.path + ": " + why}; };
  const auto opened = [&](LoadedModule& module) { return std::make_shared<LocalModule>(*this, module, spec.reserved); };
  LoadedModule* module = find(spec.path);
  const Inherited before = module == nullptr ? inherited(spec.path) : Inherited{};
  if (before.module != nullptr) {
    if (before.busy) {
      if (LoadedModule* copy = openCopy(spec, *before.module); copy != nullptr) return opened(*copy);
    }
    module = add(spec.path, before.module->file, before.module->functions);
  } else if (module == nullptr) {
    const auto loaded = load(spec.path);
    if (!loaded) return failed(loaded.error());
    module = *loaded;
  }
  CK_RV rv = initializeAlone(*module, spec.reserved);
  if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED && before.module != nullptr && before.module->ours.load()) {
    callFinalize(module->functions);
    rv = initializeAlone(*module, spec.reserved);
  }
  if (!isUsable(rv)) return failed("its C_Initialize answers " + returnCodeName(rv));
  return opened(*module);
}

CK_RV Modules::initializeAlone(LoadedModule& module, const std::string& reserved) {
  const CK_RV rv = callInitialize(module.functions, reserved);
  if (rv == CKR_OK) module.ours.store(true);
  return rv;
}

CK_RV Modules::initialize(LoadedModule& module, const std::string& reserved) {
  base::Lock alone(mutex_);
  const CK_RV rv = initializeAlone(module, reserved);
  return rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? CKR_OK : rv;
}

void Modules::finalize(LoadedModule& module) {
  base::Lock alone(mutex_);
  if (module.ours.exchange(false)) callFinalize(module.functions);
}

}  // namespace p11ha::cryptoki
