// A p11ha-memberd over a store of its own, and clients to connect to it.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>

#include "tests/appliance/daemon.h"
#include "tests/appliance/raw_client.h"
#include "tests/support/pki.h"
#include "tests/support/softhsm.h"

namespace p11ha::tests {

/// Polls until it holds; fails the test after half a minute.
bool await(const std::function<bool()>& condition, const std::string& what);

/// What a client shows, by the file names of Pki.
inline transport::TlsFiles clientFiles(const std::string& name, const std::string& ca = "ca") {
  const Pki& pki = Pki::theOne();
  return {pki.path(ca + ".pem"), pki.path(name + ".pem"), pki.path(name + ".key")};
}

/// What differs from test to test; the rest of the configuration is always the same.
struct ApplianceText {
  std::string module = kSoftHsmModule;
  std::string appliance{};  // more lines of the section
  std::string limits{};
  std::string partitions{};  // more lines; partition 00 is token 0
  std::string clients =
      "   Client00Name = alice;\n   Client00Partitions = *;\n"
      "   Client01Name = bob;\n   Client01Partitions = *;\n";
};

/// The configuration of a daemon that serves the token of that serial number; what else it needs is in `folder`.
std::string memberdConf(const std::string& folder, const std::string& serial, const ApplianceText& text);

/// Two tokens, of which the daemon serves the first, and others if `partitions` says so. Not started by itself.
class ApplianceTest : public testing::Test {
 protected:
  ApplianceTest();
  ~ApplianceTest() override;

  void configure(const ApplianceText& text) const;
  /// Starts the daemon, and waits until it listens.
  void start(const ApplianceText& text = {});
  void startAgain();
  int end(int signal) { return daemon.end(signal); }
  void tell(int signal) const { daemon.tell(signal); }
  bool runs() const { return daemon.runs(); }

  std::string configuration() const { return daemon.configuration(); }
  std::string log() const { return daemon.log(); }
  std::size_t logged(const std::string& part) const;
  bool awaitLog(const std::string& part, std::size_t times = 1) const;
  std::pair<int, std::string> ctl(const std::string& words) const { return daemon.ctl(words); }
  /// The process that serves that client.
  pid_t workerOf(const std::string& client) const;

  /// A client, by its certificate, as an application of its own unless `application` says otherwise.
  std::unique_ptr<RawClient> client(const std::string& name, std::size_t token = 0, unsigned application = 0);
  /// The same, greeted: the test has failed if it is null.
  std::unique_ptr<RawClient> greeted(const std::string& name, std::size_t token = 0, unsigned application = 0);

  static CK_SESSION_HANDLE open(RawClient& client);
  static CK_RV login(RawClient& client, CK_SESSION_HANDLE session, const std::string& pin = "12345678",
                     CK_USER_TYPE user = CKU_USER);
  static CK_RV logout(RawClient& client, CK_SESSION_HANDLE session);
  static CK_RV random(RawClient& client, CK_SESSION_HANDLE session);
  /// A private secret for HMAC; and a use of it.
  static CK_RV makeKey(RawClient& client, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE& key);
  static CK_RV sign(RawClient& client, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key);

  SoftHsmStore store{2};
  std::uint16_t port = 0;
  Daemon daemon{store.folder()};

 private:
  unsigned nextApplication_ = 1000;
};

}  // namespace p11ha::tests
