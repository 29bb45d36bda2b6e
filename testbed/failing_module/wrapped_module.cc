#include "testbed/failing_module/wrapped_module.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "cryptoki/return_codes.h"

namespace p11ha::testbed {
namespace {

constexpr char kSoftHsm[] = "/usr/lib/softhsm/libsofthsm2.so";
// An object of this library, by whose address the loader can tell which file it was loaded from.
const char kHere = 0;

template <class Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

std::string wrappedModulePath() {
  Dl_info own{};
  if (dladdr(&kHere, &own) != 0 && own.dli_fname != nullptr) {
    std::ifstream file(std::string(own.dli_fname) + ".wraps");
    std::string path;
    if (std::getline(file, path) && !path.empty()) return path;
  }
  const char* path = std::getenv("P11HA_FAILING_MODULE");
  return path == nullptr || *path == '\0' ? kSoftHsm : path;
}

base::Result<cryptoki::FunctionList, std::string> loadWrappedModule(const std::string& path) {
  const auto failed = [&](const std::string& why) { return base::Failure{"wrapped module " + path + ": " + why}; };
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    return failed(why == nullptr ? "cannot be loaded" : why);
  }
  cryptoki::FunctionList functions{};
  CK_VERSION version{3, 0};
  CK_UTF8CHAR name[] = "PKCS 11";
  CK_INTERFACE_PTR interface = nullptr;
  const auto getInterface = symbol<CK_C_GetInterface>(library, "C_GetInterface");
  if (getInterface != nullptr && getInterface(name, &version, &interface, 0) == CKR_OK && interface != nullptr &&
      interface->pFunctionList != nullptr && static_cast<const CK_VERSION*>(interface->pFunctionList)->major == 3) {
    std::memcpy(&functions, interface->pFunctionList, sizeof functions);
    return functions;
  }
  const auto getFunctionList = symbol<CK_C_GetFunctionList>(library, "C_GetFunctionList");
  if (getFunctionList == nullptr) return failed("has no C_GetFunctionList, so it is no PKCS#11 module");
  CK_FUNCTION_LIST_PTR list = nullptr;
  const CK_RV rv = getFunctionList(&list);
  if (rv != CKR_OK || list == nullptr) return failed("C_GetFunctionList answers " + cryptoki::returnCodeName(rv));
  std::memcpy(&functions, list, sizeof *list);  // the first 68 entries of both lists are the same
  return functions;
}

}  // namespace p11ha::testbed
