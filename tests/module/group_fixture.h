// libp11ha.so as an application loads it: a group of failing modules over SoftHSM, its log, and a look behind it.
#pragma once

#include <chrono>
#include <fstream>
#include <functional>
#include <sstream>

#include "tests/module/failing_fixture.h"

namespace p11ha::tests {

inline const std::string kGroupModule = P11HA_BINARY_DIR "/lib/libp11ha.so";

using Template = std::vector<CK_ATTRIBUTE>;
using Bytes = std::vector<CK_BYTE>;

inline CK_BBOOL yes = CK_TRUE;
inline CK_BBOOL no = CK_FALSE;
inline CK_ULONG rsaBits = 2048;
inline CK_ULONG aesLength = 32;
inline CK_BYTE rsaExponent[] = {1, 0, 1};
inline CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

inline CK_OBJECT_CLASS publicKeys = CKO_PUBLIC_KEY;
inline CK_OBJECT_CLASS privateKeys = CKO_PRIVATE_KEY;
inline CK_OBJECT_CLASS secretKeys = CKO_SECRET_KEY;
inline CK_ATTRIBUTE ofClass(CK_OBJECT_CLASS& value) { return {CKA_CLASS, &value, sizeof value}; }
inline CK_ATTRIBUTE flag(CK_ATTRIBUTE_TYPE type, bool value = true) {
  return {type, value ? &yes : &no, sizeof(CK_BBOOL)};
}
// The text stays for as long as the thread does, also where the template is used later.
inline CK_ATTRIBUTE text(CK_ATTRIBUTE_TYPE type, const std::string& value) {
  thread_local std::set<std::string> kept;
  const std::string& own = *kept.insert(value).first;
  return {type, const_cast<char*>(own.data()), own.size()};
}

/// Polls until the condition holds; fails the test after half a minute.
inline bool await(const std::function<bool()>& condition, const std::string& what) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "waited in vain for: " << what;
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

inline std::size_t countOf(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

/// A store of tokens and a configuration file that names them. Nothing is initialised.
class GroupTest : public testing::Test {
 protected:
  GroupTest() : store(3), control((store.folder() / "control").string()) {
    std::filesystem::create_directory(control);
    setenv("P11HA_FAILING_CONTROL", control.c_str(), 1);
    unsetenv("P11HA_FAILING_MODULE");
    std::filesystem::create_directory(store.folder() / "log");
    setenv("P11HA_CONF", file().c_str(), 1);
    configure(configuration());
  }
  ~GroupTest() override {
    if (loaded_ != nullptr) loaded_->C_Finalize(nullptr);
  }

  std::string file() const { return (store.folder() / "Chrystoki.conf").string(); }
  void configure(const std::string& written) const { std::ofstream(file(), std::ios::binary) << written; }

  std::string members() const {
    std::string all;
    for (const std::string& serial : store.serials()) all += (all.empty() ? "" : ", ") + serial;
    return all;
  }
  static std::string group(const std::string& number, const std::string& label, const std::string& serial,
                           const std::string& members) {
    const std::string key = "   VirtualToken" + number;
    return key + "Label = " + label + ";\n" + key + "SN = " + serial + ";\n" + key + "Members = " + members + ";\n";
  }
  std::string theGroup() const { return group("00", "demo", "1000", members()); }
  /// The configuration with these groups, these lines of HAConfiguration and of p11ha.
  std::string configuration(const std::string& groups, const std::string& ha, const std::string& own) const {
    return "VirtualToken = {\n" + groups + "}\nHASynchronize = {\n   demo = 1;\n}\nHAConfiguration = {\n" +
           "   reconnAtt = -1;\n   AutoReconnectInterval = 1;\n   haLogStatus = enabled;\n   haLogPath = " +
           (store.folder() / "log").string() + ";\n" + ha + "}\np11ha = {\n" + own + "   CloningPolicy = user;\n}\n";
  }
  static std::string theModule() { return "   Module00Path = " + kFailingModule + ";\n"; }
  std::string configuration() const { return configuration(theGroup(), "   HAOnly = 1;\n", theModule()); }

  /// libp11ha.so, which is finalized at the end of the test.
  CK_FUNCTION_LIST_3_0_PTR module() {
    if (loaded_ == nullptr) loaded_ = loadModule(kGroupModule);
    return loaded_;
  }

  std::string log() const {
    std::ifstream in(store.folder() / "log" / "haErrorLog.txt");
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
  std::size_t logged(const std::string& part) const { return countOf(log(), part); }
  bool awaitLog(const std::string& part) const {
    return await([&] { return logged(part) != 0; }, part) || (ADD_FAILURE() << log(), false);
  }
  std::string tell(const std::string& line) const {
    const auto result = testbed::runCommand(control, line);
    EXPECT_EQ(result.status, 0) << line << ": " << result.error;
    return result.output;
  }
  std::string member(std::size_t index) const { return "serial:" + store.serial(index); }
  /// How often the member was asked, and how often a rule answered for it.
  unsigned long asked(std::size_t index, const std::string& function) const {
    return tallied("stats", index, function);
  }
  unsigned long refused(std::size_t index, const std::string& function) const {
    return tallied("refused", index, function);
  }
  unsigned long tallied(const std::string& what, std::size_t index, const std::string& function) const {
    std::istringstream lines(tell(what + " " + member(index)));
    std::string name;
    unsigned long count = 0;
    while (lines >> name >> count) {
      if (name == function) return count;
    }
    return 0;
  }

  SoftHsmStore store;
  std::string control;

 private:
  CK_FUNCTION_LIST_3_0_PTR loaded_ = nullptr;
};

/// A group of three that works: a session is open and logged in.
class WorkingGroup : public GroupTest {
 protected:
  void SetUp() override {
    client.f = module();
    ASSERT_NE(client.f, nullptr);
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    session = client.open(0);
    ASSERT_EQ(client.login(session), CKR_OK);
    // The same library that the members run on, past the module that fails: the login is the process's.
    void* library = dlopen(kSoftHsmModule, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << dlerror();
    ASSERT_EQ(reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"))(&softHsm), CKR_OK);
    for (const std::string& serial : store.serials()) {
      CK_SESSION_HANDLE own = 0;
      ASSERT_EQ(
          softHsm->C_OpenSession(slotOnSoftHsm(serial), CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &own),
          CKR_OK);
      direct.push_back(own);
    }
  }

  /// As another process finds the group: nothing is known of its objects.
  void startAnew() {
    ASSERT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    direct.clear();
    ASSERT_NO_FATAL_FAILURE(SetUp());
  }

  /// By its slot, so that the rules that name its serial number stay when this one is taken back.
  std::string slot(std::size_t index) const { return std::to_string(slotOnSoftHsm(store.serial(index))); }
  bool lose(std::size_t index) const {
    const std::string line = "has dropped member: " + store.serial(index);
    const std::size_t before = logged(line);
    tell("fail " + slot(index) + " * CKR_DEVICE_REMOVED");
    return await([&] { return client.random(session) == CKR_OK && logged(line) > before; }, line);
  }
  bool recover(std::size_t index) const {
    const std::string line = "succeeded for member: " + store.serial(index);
    const std::size_t before = logged(line);
    tell("heal " + slot(index));
    return await([&] { return logged(line) > before; }, line);
  }

  CK_SLOT_ID slotOnSoftHsm(const std::string& serial) const {
    CK_SLOT_ID slots[16];
    CK_ULONG count = std::size(slots);
    EXPECT_EQ(softHsm->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; ++i) {
      CK_TOKEN_INFO info{};
      if (softHsm->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
          std::memcmp(info.serialNumber, serial.data(), sizeof info.serialNumber) == 0)
        return slots[i];
    }
    ADD_FAILURE() << "no token " << serial;
    return 0;
  }

  static std::vector<CK_OBJECT_HANDLE> find(CK_FUNCTION_LIST_PTR f, CK_SESSION_HANDLE in, Template wanted) {
    std::vector<CK_OBJECT_HANDLE> found(100);
    CK_ULONG count = 0;
    CK_RV begun = f->C_FindObjectsInit(in, wanted.data(), wanted.size());
    // SoftHSM's answer where p11ha makes an object at this moment, whom the test goes past; the search then has begun.
    for (int tries = 0; begun == CKR_GENERAL_ERROR && tries < 100; ++tries) {
      f->C_FindObjectsFinal(in);
      begun = f->C_FindObjectsInit(in, wanted.data(), wanted.size());
    }
    EXPECT_EQ(begun, CKR_OK);
    EXPECT_EQ(f->C_FindObjects(in, found.data(), found.size(), &count), CKR_OK);
    EXPECT_EQ(f->C_FindObjectsFinal(in), CKR_OK);
    found.resize(count);
    return found;
  }
  std::vector<CK_OBJECT_HANDLE> find(Template wanted) const {
    return find(reinterpret_cast<CK_FUNCTION_LIST_PTR>(client.f), session, std::move(wanted));
  }
  std::vector<CK_OBJECT_HANDLE> findOn(std::size_t index, Template wanted) const {
    return find(softHsm, direct.at(index), std::move(wanted));
  }
  /// How many such objects each member has: "1 1 1".
  std::string onEach(const Template& wanted) const {
    std::string counts;
    for (std::size_t i = 0; i < direct.size(); ++i) {
      counts += (i == 0 ? "" : " ") + std::to_string(findOn(i, wanted).size());
    }
    return counts;
  }

  struct Pair {
    CK_OBJECT_HANDLE publicKey = 0;
    CK_OBJECT_HANDLE privateKey = 0;
  };
  CK_RV generate(CK_MECHANISM_TYPE type, const std::string& label, Pair& made, bool extractable = true) const {
    CK_MECHANISM mechanism{type, nullptr, 0};
    Template publicKey{flag(CKA_TOKEN), flag(CKA_VERIFY), text(CKA_LABEL, label), text(CKA_ID, label)};
    if (type == CKM_RSA_PKCS_KEY_PAIR_GEN) {
      publicKey.push_back({CKA_MODULUS_BITS, &rsaBits, sizeof rsaBits});
      publicKey.push_back({CKA_PUBLIC_EXPONENT, rsaExponent, sizeof rsaExponent});
      publicKey.push_back(flag(CKA_ENCRYPT));
    } else {
      publicKey.push_back({CKA_EC_PARAMS, p256, sizeof p256});
    }
    Template privateKey{flag(CKA_TOKEN),
                        flag(CKA_PRIVATE),
                        flag(CKA_SIGN),
                        flag(CKA_SENSITIVE),
                        text(CKA_LABEL, label),
                        text(CKA_ID, label),
                        flag(CKA_EXTRACTABLE, extractable)};
    if (type == CKM_RSA_PKCS_KEY_PAIR_GEN) privateKey.push_back(flag(CKA_DECRYPT));
    return client.f->C_GenerateKeyPair(session, &mechanism, publicKey.data(), publicKey.size(), privateKey.data(),
                                       privateKey.size(), &made.publicKey, &made.privateKey);
  }
  CK_RV generateAes(const std::string& label, CK_OBJECT_HANDLE& key) const {
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    Template wanted{flag(CKA_TOKEN),        flag(CKA_PRIVATE),
                    flag(CKA_ENCRYPT),      flag(CKA_DECRYPT),
                    flag(CKA_WRAP),         flag(CKA_UNWRAP),
                    flag(CKA_EXTRACTABLE),  flag(CKA_SENSITIVE),
                    text(CKA_LABEL, label), {CKA_VALUE_LEN, &aesLength, sizeof aesLength}};
    return client.f->C_GenerateKey(session, &mechanism, wanted.data(), wanted.size(), &key);
  }
  CK_RV sign(CK_SESSION_HANDLE in, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key, Bytes& signature) const {
    CK_MECHANISM mechanism{type, nullptr, 0};
    if (const CK_RV rv = client.f->C_SignInit(in, &mechanism, key); rv != CKR_OK) return rv;
    Bytes data(32, 7);
    signature.resize(512);
    CK_ULONG size = signature.size();
    const CK_RV rv = client.f->C_Sign(in, data.data(), data.size(), signature.data(), &size);
    signature.resize(rv == CKR_OK ? size : 0);
    return rv;
  }
  CK_RV sign(CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type = CKM_ECDSA) const {
    Bytes signature;
    return sign(session, type, key, signature);
  }
  CK_RV verify(CK_SESSION_HANDLE in, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key, Bytes signature) const {
    CK_MECHANISM mechanism{type, nullptr, 0};
    if (const CK_RV rv = client.f->C_VerifyInit(in, &mechanism, key); rv != CKR_OK) return rv;
    Bytes data(32, 7);
    return client.f->C_Verify(in, data.data(), data.size(), signature.data(), signature.size());
  }

  Client client{nullptr};
  CK_SESSION_HANDLE session = 0;
  CK_FUNCTION_LIST_PTR softHsm = nullptr;
  std::vector<CK_SESSION_HANDLE> direct;  // SoftHSM's own sessions, one a member
};

}  // namespace p11ha::tests
