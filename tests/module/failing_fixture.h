// p11ha-failing.so over SoftHSM, as a client loads it, and a hand on its control.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "cryptoki/call.h"
#include "testbed/failing_module/command.h"
#include "tests/support/softhsm.h"

namespace p11ha::tests {

inline const std::string kFailingModule = P11HA_BINARY_DIR "/lib/p11ha-failing.so";

inline CK_FUNCTION_LIST_3_0_PTR loadModule(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    ADD_FAILURE() << dlerror();
    return nullptr;
  }
  const auto getInterface = reinterpret_cast<CK_C_GetInterface>(dlsym(library, "C_GetInterface"));
  CK_VERSION version{3, 0};
  CK_INTERFACE_PTR interface = nullptr;
  EXPECT_EQ(getInterface(nullptr, &version, &interface, 0), CKR_OK);
  return static_cast<CK_FUNCTION_LIST_3_0_PTR>(interface->pFunctionList);
}

/// A client with at most one session on each token. One thread.
class Client {
 public:
  explicit Client(CK_FUNCTION_LIST_3_0_PTR functions) : f(functions) {}

  CK_SLOT_ID slotOf(const std::string& serial) const {
    for (const CK_SLOT_ID slot : slots(CK_FALSE)) {
      CK_TOKEN_INFO info{};
      if (f->C_GetTokenInfo(slot, &info) == CKR_OK &&
          std::memcmp(info.serialNumber, serial.data(), sizeof info.serialNumber) == 0) {
        return slot;
      }
    }
    ADD_FAILURE() << "no token " << serial;
    return 0;
  }
  std::vector<CK_SLOT_ID> slots(CK_BBOOL present) const {
    CK_ULONG count = 0;
    EXPECT_EQ(f->C_GetSlotList(present, nullptr, &count), CKR_OK);
    std::vector<CK_SLOT_ID> found(count);
    EXPECT_EQ(f->C_GetSlotList(present, found.data(), &count), CKR_OK);
    found.resize(count);
    return found;
  }
  CK_SESSION_HANDLE open(CK_SLOT_ID slot) const {
    CK_SESSION_HANDLE session = 0;
    EXPECT_EQ(f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session), CKR_OK);
    return session;
  }
  CK_RV login(CK_SESSION_HANDLE session, std::string pin = "12345678") const {
    return f->C_Login(session, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size());
  }
  CK_RV random(CK_SESSION_HANDLE session) const {
    CK_BYTE bytes[8];
    return f->C_GenerateRandom(session, bytes, sizeof bytes);
  }
  /// A secret for HMAC, which lives as long as the session.
  CK_RV createKey(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE& key, bool isPrivate = true) const {
    CK_OBJECT_CLASS object = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL hidden = isPrivate ? CK_TRUE : CK_FALSE;
    CK_BYTE value[32] = {};
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &object, sizeof object},
                                 {CKA_KEY_TYPE, &type, sizeof type},
                                 {CKA_PRIVATE, &hidden, sizeof hidden},
                                 {CKA_SIGN, &yes, sizeof yes},
                                 {CKA_VALUE, value, sizeof value}};
    return f->C_CreateObject(session, attributes, std::size(attributes), &key);
  }
  CK_RV sign(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) const {
    CK_MECHANISM mechanism{CKM_SHA256_HMAC, nullptr, 0};
    if (const CK_RV rv = f->C_SignInit(session, &mechanism, key); rv != CKR_OK) return rv;
    CK_BYTE data[] = {1, 2, 3};
    CK_BYTE signature[32];
    CK_ULONG size = sizeof signature;
    return f->C_Sign(session, data, sizeof data, signature, &size);
  }

  CK_FUNCTION_LIST_3_0_PTR f;
};

/// Two tokens and an empty control folder. What the tests call "it" is the first token, "other" the second.
class FailingModuleTest : public testing::Test {
 protected:
  FailingModuleTest() : store(2), control((store.folder() / "control").string()) {
    std::filesystem::create_directory(control);
    setenv("P11HA_FAILING_CONTROL", control.c_str(), 1);
    unsetenv("P11HA_FAILING_MODULE");
  }

  /// The first token, as rules name it.
  std::string it() const { return "serial:" + store.serial(0); }
  std::string other() const { return "serial:" + store.serial(1); }

  std::string tell(const std::string& line) const {
    const auto result = testbed::runCommand(control, line);
    EXPECT_EQ(result.status, 0) << line << ": " << result.error;
    return result.output;
  }
  /// Waits until so many calls of that name are held on the token.
  void awaitWaiting(const std::string& target, const std::string& text) const {
    while (tell("waiting " + target) != text) std::this_thread::yield();
  }

  SoftHsmStore store;
  std::string control;
};

}  // namespace p11ha::tests
