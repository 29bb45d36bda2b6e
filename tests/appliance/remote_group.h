// libp11ha.so with a group whose members an appliance serves.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>

#include "testbed/failing_module/command.h"
#include "tests/appliance/appliance.h"
#include "tests/module/failing_fixture.h"

namespace p11ha::tests {

/// Both tokens are served, and are the members of a group; the module itself is seen by nobody else.
class RemoteGroupTest : public ApplianceTest {
 protected:
  RemoteGroupTest() : control((store.folder() / "control").string()) {
    std::filesystem::create_directory(control);
    std::filesystem::create_directory(store.folder() / "halog");
    setenv("P11HA_FAILING_CONTROL", control.c_str(), 1);
    unsetenv("P11HA_FAILING_MODULE");
    setenv("P11HA_CONF", conf().c_str(), 1);
  }
  ~RemoteGroupTest() override {
    if (loaded_ != nullptr) loaded_->C_Finalize(nullptr);
  }

  std::string conf() const { return (store.folder() / "Chrystoki.conf").string(); }
  /// The group: `own` are more lines of section p11ha, `name` is what the server is called.
  void configureGroup(const std::string& own = {}, const std::string& name = "localhost",
                      const std::string& files = {}) const {
    const Pki& pki = Pki::theOne();
    std::ofstream(conf(), std::ios::trunc)
        << "VirtualToken = {\n   VirtualToken00Label = demo;\n   VirtualToken00SN = 1000;\n   VirtualToken00Members = "
        << store.serial(0) << ", " << store.serial(1) << ";\n}\nHASynchronize = {\n   demo = 1;\n}\n"
        << "HAConfiguration = {\n   HAOnly = 1;\n   AutoReconnectInterval = 1;\n   haLogPath = "
        << (store.folder() / "halog").string() << ";\n"
        << ha << "}\nLunaSA Client = {\n   ServerName00 = " << name << ";\n   ServerPort00 = " << port << ";\n"
        << (files.empty() ? "   ServerCAFile = " + pki.path("ca.pem") + ";\n   ClientCertFile = " +
                                pki.path("alice.pem") + ";\n   ClientPrivKeyFile = " + pki.path("alice.key") + ";\n"
                          : files)
        << "}\np11ha = {\n   CloningPolicy = user;\n"
        << own << "}\n";
  }
  void serve(ApplianceText text = {}, const std::string& own = {}) {
    text.partitions += "   Partition01Serial = " + store.serial(1) + ";\n";
    start(text);
    configureGroup(own);
  }
  /// Again at the same port.
  void serveAgain() {
    daemon.keepPort();
    startAgain();
  }

  CK_FUNCTION_LIST_3_0_PTR module() {
    if (loaded_ == nullptr) loaded_ = loadModule(P11HA_BINARY_DIR "/lib/libp11ha.so");
    return loaded_;
  }
  std::string haLog() const {
    std::ifstream in(store.folder() / "halog" / "haErrorLog.txt");
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
  bool awaitHaLog(const std::string& part) const {
    return await([&] { return haLog().find(part) != std::string::npos; }, part + "\n" + haLog());
  }
  void rule(const std::string& line) const {
    const auto result = testbed::runCommand(control, line);
    EXPECT_EQ(result.status, 0) << line << ": " << result.error;
  }
  std::string waiting() const { return testbed::runCommand(control, "waiting any").output; }

  /// Initialised, a session open and logged in, a key made.
  void begin() {
    client.f = module();
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    session = client.open(0);
    ASSERT_EQ(client.login(session), CKR_OK);
    ASSERT_EQ(client.createKey(session, key), CKR_OK);
    ASSERT_EQ(client.sign(session, key), CKR_OK);
  }
  CK_RV sign() const { return client.sign(session, key); }
  std::size_t connections() const {
    const std::string text = ctl("clients").second;
    std::size_t found = 0;
    for (auto at = text.find("alice"); at != std::string::npos; at = text.find("alice", at + 1)) ++found;
    return found;
  }

  const std::string control;
  std::string ha;  // more lines of section HAConfiguration
  Client client{nullptr};
  CK_SESSION_HANDLE session = 0;
  CK_OBJECT_HANDLE key = 0;

 private:
  CK_FUNCTION_LIST_3_0_PTR loaded_ = nullptr;
};

}  // namespace p11ha::tests
