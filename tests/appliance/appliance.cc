#include "tests/appliance/appliance.h"

#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

namespace p11ha::tests {

using cryptoki::Fn;
using cryptoki::makeCall;

bool await(const std::function<bool()>& condition, const std::string& what) {
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

ApplianceTest::ApplianceTest() { Pki::theOne(); }

ApplianceTest::~ApplianceTest() {
  if (HasFailure()) std::fputs(log().c_str(), stderr);
}

std::string memberdConf(const std::string& folder, const std::string& serial, const ApplianceText& text) {
  const Pki& pki = Pki::theOne();
  return "Appliance = {\n   Listen = 127.0.0.1;\n   Port = 0;\n   ClientCAFile = " + pki.path("ca.pem") +
         ";\n   ServerCertFile = " + pki.path("server.pem") + ";\n   ServerPrivKeyFile = " + pki.path("server.key") +
         ";\n   ControlSocket = " + folder + "/ctl;\n   LogFile = " + folder + "/log;\n   LogLevel = debug;\n" +
         text.appliance + "}\nLimits = {\n" + text.limits + "}\nModules = {\n   Module00Path = " + text.module +
         ";\n}\nPartitions = {\n   Partition00Serial = " + serial + ";\n" + text.partitions + "}\nClients = {\n" +
         text.clients + "}\n";
}

void ApplianceTest::configure(const ApplianceText& text) const {
  std::ofstream(configuration(), std::ios::trunc) << memberdConf(store.folder().string(), store.serial(0), text);
}

void ApplianceTest::start(const ApplianceText& text) {
  configure(text);
  startAgain();
}

void ApplianceTest::startAgain() {
  daemon.start();
  port = daemon.port();
}

std::size_t ApplianceTest::logged(const std::string& part) const {
  const std::string text = log();
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

bool ApplianceTest::awaitLog(const std::string& part, std::size_t times) const {
  return await([&] { return logged(part) >= times; }, part);
}

pid_t ApplianceTest::workerOf(const std::string& name) const {
  std::istringstream lines(ctl("clients").second);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string client, application, address, partition;
    pid_t pid = 0;
    if (words >> client >> application >> address >> partition >> pid && client == name && partition != "-") return pid;
  }
  ADD_FAILURE() << "no connection of " << name;
  return -1;
}

std::unique_ptr<RawClient> ApplianceTest::client(const std::string& name, std::size_t token, unsigned application) {
  transport::Destination to;
  const unsigned id = application == 0 ? nextApplication_++ : application;
  std::memcpy(to.application.data(), &id, sizeof id);
  to.serial = store.serial(token);
  return std::make_unique<RawClient>(port, clientFiles(name), to);
}

std::unique_ptr<RawClient> ApplianceTest::greeted(const std::string& name, std::size_t token, unsigned application) {
  auto fresh = client(name, token, application);
  if (fresh->greet()) return fresh;
  ADD_FAILURE() << fresh->error() << (fresh->goodbye() ? fresh->goodbye()->text : "");
  return nullptr;
}

CK_SESSION_HANDLE ApplianceTest::open(RawClient& client) {
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  EXPECT_EQ(client.call(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_SERIAL_SESSION | CKF_RW_SESSION}, nullptr,
                                                  nullptr, &session)),
            CKR_OK);
  return session;
}

CK_RV ApplianceTest::login(RawClient& client, CK_SESSION_HANDLE session, const std::string& pin, CK_USER_TYPE user) {
  std::string copy = pin;
  return client.call(
      makeCall<Fn::Login>(session, user, reinterpret_cast<CK_UTF8CHAR_PTR>(copy.data()), CK_ULONG{copy.size()}));
}

CK_RV ApplianceTest::logout(RawClient& client, CK_SESSION_HANDLE session) {
  return client.call(makeCall<Fn::Logout>(session));
}

CK_RV ApplianceTest::random(RawClient& client, CK_SESSION_HANDLE session) {
  CK_BYTE bytes[32] = {};
  const CK_RV rv = client.call(makeCall<Fn::GenerateRandom>(session, bytes, CK_ULONG{sizeof bytes}));
  if (rv == CKR_OK) {
    EXPECT_NE(std::string(reinterpret_cast<char*>(bytes), sizeof bytes), std::string(sizeof bytes, '\0'));
  }
  return rv;
}

CK_RV ApplianceTest::makeKey(RawClient& client, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE& key) {
  CK_OBJECT_CLASS object = CKO_SECRET_KEY;
  CK_KEY_TYPE type = CKK_GENERIC_SECRET;
  CK_BBOOL yes = CK_TRUE;
  CK_BYTE value[32] = {1};
  CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &object, sizeof object},
                               {CKA_KEY_TYPE, &type, sizeof type},
                               {CKA_PRIVATE, &yes, sizeof yes},
                               {CKA_SIGN, &yes, sizeof yes},
                               {CKA_VALUE, value, sizeof value}};
  return client.call(makeCall<Fn::CreateObject>(session, attributes, CK_ULONG{std::size(attributes)}, &key));
}

CK_RV ApplianceTest::sign(RawClient& client, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) {
  CK_MECHANISM mechanism{CKM_SHA256_HMAC, nullptr, 0};
  CK_BYTE data[] = {1, 2, 3};
  CK_BYTE signature[64] = {};
  CK_ULONG size = sizeof signature;
  const auto [init, rv] =
      client.callWithInit(makeCall<Fn::SignInit>(session, &mechanism, key),
                          makeCall<Fn::Sign>(session, data, CK_ULONG{sizeof data}, signature, &size));
  if (init != CKR_OK) return init;
  if (rv == CKR_OK) {
    EXPECT_EQ(size, 32U);
  }
  return rv;
}

}  // namespace p11ha::tests
