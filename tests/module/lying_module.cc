// A PKCS#11 module that shows one SoftHSM token, P11HA_LIAR, and lies about what P11HA_LIE says. For one thread that
// sets both before C_Initialize. Some lies begin later, as soon as a file of their name is in the folder P11HA_LIES.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cryptoki/pkcs11.h"

namespace {

constexpr CK_ULONG kHuge = CK_ULONG{1} << 60;

CK_FUNCTION_LIST_PTR honest = nullptr;
CK_FUNCTION_LIST list;
CK_SLOT_ID theSlot = 0;

bool lies(const char* about) {
  const char* lie = std::getenv("P11HA_LIE");
  return lie != nullptr && std::strcmp(lie, about) == 0;
}

bool liesByNow(const char* about) {
  const char* folder = std::getenv("P11HA_LIES");
  return folder != nullptr && std::filesystem::exists(std::filesystem::path(folder) / about);
}

CK_RV initialize(void* arguments) {
  const CK_RV rv = honest->C_Initialize(arguments);
  CK_SLOT_ID slots[16];
  CK_ULONG count = 16;
  honest->C_GetSlotList(CK_TRUE, slots, &count);
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_TOKEN_INFO info{};
    if (honest->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
        std::memcmp(info.serialNumber, std::getenv("P11HA_LIAR"), sizeof info.serialNumber) == 0)
      theSlot = slots[i];
  }
  return rv;
}

CK_RV getSlotList(CK_BBOOL, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  if (slots != nullptr) *slots = theSlot;
  *count = lies("many slots") || (lies("more slots than room") && slots != nullptr) ? kHuge : 1;
  return CKR_OK;
}

CK_RV getTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  const CK_RV rv = honest->C_GetTokenInfo(slot, info);
  if (rv == CKR_OK && liesByNow("another token")) std::memset(info->serialNumber, '7', sizeof info->serialNumber);
  return rv;
}

CK_RV generateRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR random, CK_ULONG length) {
  if (liesByNow("no random")) return CKR_DEVICE_REMOVED;
  return honest->C_GenerateRandom(session, random, length);
}

CK_RV getMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR types, CK_ULONG_PTR count) {
  if (lies("many mechanisms")) return *count = kHuge, CKR_OK;
  const CK_RV rv = honest->C_GetMechanismList(slot, types, count);
  if (lies("more mechanisms than room") && types != nullptr) *count = kHuge;
  return rv;
}

CK_RV getAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attributes,
                        CK_ULONG count) {
  if (lies("no attributes")) return CKR_OK;
  return honest->C_GetAttributeValue(session, object, attributes, count);
}

CK_RV wrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key,
              CK_BYTE_PTR wrapped, CK_ULONG_PTR length) {
  if (lies("a long wrapped key")) return *length = kHuge, CKR_OK;
  const CK_RV rv = honest->C_WrapKey(session, mechanism, with, key, wrapped, length);
  if (lies("a wrapped key longer than room") && wrapped != nullptr) *length = kHuge;
  return rv;
}

void fill() {
  void* library = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
  reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"))(&honest);
  list = *honest;
  list.C_Initialize = initialize;
  list.C_GetSlotList = getSlotList;
  list.C_GetTokenInfo = getTokenInfo;
  list.C_GenerateRandom = generateRandom;
  list.C_GetMechanismList = getMechanismList;
  list.C_GetAttributeValue = getAttributeValue;
  list.C_WrapKey = wrapKey;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out) {
  fill();
  *out = lies("no list") ? nullptr : &list;
  return CKR_OK;
}

// What it gives for v3.0 is the shorter list of v2.40, at the end of what may be read.
extern "C" __attribute__((visibility("default"))) CK_RV C_GetInterface(CK_UTF8CHAR_PTR, CK_VERSION_PTR,
                                                                       CK_INTERFACE_PTR_PTR out, CK_FLAGS) {
  if (!lies("an old list")) return CKR_FUNCTION_NOT_SUPPORTED;
  fill();
  static CK_UTF8CHAR name[] = "PKCS 11";
  static CK_INTERFACE interface;
  interface = {name, new CK_FUNCTION_LIST(list), 0};
  *out = &interface;
  return CKR_OK;
}
