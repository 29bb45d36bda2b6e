#include "tests/conformance/record/module.h"

#include <dlfcn.h>

#include <cstring>
#include <stdexcept>

namespace p11ha::conformance {
namespace {

bool takeInterface(void* library, cryptoki::FunctionList& functions) {
  const auto getInterface = reinterpret_cast<CK_C_GetInterface>(dlsym(library, "C_GetInterface"));
  if (getInterface == nullptr) return false;
  CK_UTF8CHAR name[] = "PKCS 11";
  CK_VERSION version{3, 0};
  CK_INTERFACE_PTR interface = nullptr;
  if (getInterface(name, &version, &interface, 0) != CKR_OK || interface == nullptr) return false;
  std::memcpy(&functions, interface->pFunctionList, sizeof functions);
  return true;
}

void takeList(void* library, const std::string& path, cryptoki::FunctionList& functions) {
  const auto getList = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST_PTR list = nullptr;
  if (getList == nullptr || getList(&list) != CKR_OK || list == nullptr) {
    throw std::runtime_error(path + " has no function list");
  }
  std::memcpy(&functions, list, sizeof *list);
}

}  // namespace

Module::Module(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  if (!takeInterface(library, functions_)) takeList(library, path, functions_);
}

bool Module::has(cryptoki::Fn fn) const {
  // Behind the version the lists are the functions, in the order of functions.def.
  void* entry = nullptr;
  std::memcpy(&entry, reinterpret_cast<const char*>(&functions_) + (1 + static_cast<std::size_t>(fn)) * sizeof(void*),
              sizeof entry);
  return entry != nullptr;
}

}  // namespace p11ha::conformance
