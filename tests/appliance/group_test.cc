// libp11ha.so with members of an appliance, as an application has them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/wait.h>

#include <future>
#include <set>

#include "tests/appliance/remote_group.h"
#include "tests/support/program.h"

namespace p11ha::tests {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

TEST_F(RemoteGroupTest, WorksAndLeavesNothingBehind) {
  serve();
  begin();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(sign(), CKR_OK);
  EXPECT_EQ(connections(), 2U);
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  EXPECT_TRUE(await([&] { return connections() == 0; }, "the connections' end"));
  // And again.
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  session = client.open(0);
  EXPECT_EQ(client.random(session), CKR_OK);
}

TEST_F(RemoteGroupTest, SocketsAreClosedOnExec) {
  serve();
  begin();
  std::size_t sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.ss_family == AF_UNIX) continue;
    ++sockets;
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(sockets, 2U);
}

// Signals are the application's: its handlers must not run on a thread that it does not know of.
TEST_F(RemoteGroupTest, ItsThreadsTakeNoSignals) {
  const auto threads = [] {
    std::set<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) all.insert(entry.path());
    return all;
  };
  const std::set<std::string> before = threads();
  serve();
  begin();
  std::size_t own = 0;
  for (const std::string& thread : threads()) {
    if (before.contains(thread)) continue;
    std::ifstream status(thread + "/status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with("SigBlk:")) continue;
      ++own;
      EXPECT_NE(std::stoull(line.substr(7), nullptr, 16) & (1ULL << (SIGTERM - 1)), 0U) << thread;
    }
  }
  EXPECT_GT(own, 1U) << "of the management, and of the connections";
}

TEST_F(RemoteGroupTest, ServesAgainOnceTheApplianceDoes) {
  serve();
  begin();
  end(SIGKILL);
  EXPECT_EQ(sign(), CKR_DEVICE_ERROR);
  EXPECT_EQ(sign(), CKR_DEVICE_ERROR);
  EXPECT_TRUE(awaitHaLog("has dropped member: " + store.serial(0)));
  serveAgain();
  EXPECT_TRUE(awaitHaLog("succeeded for member: " + store.serial(0)));
  EXPECT_TRUE(awaitHaLog("succeeded for member: " + store.serial(1)));
  // Logged in again, without a word of the application; its session object went with the module.
  EXPECT_EQ(client.random(session), CKR_OK);
  ASSERT_EQ(client.createKey(session, key), CKR_OK);
  EXPECT_EQ(sign(), CKR_OK);
}

TEST_F(RemoteGroupTest, AnApplianceThatIsNotThereAtFirst) {
  serve();
  end(SIGKILL);
  client.f = module();
  testing::internal::CaptureStderr();
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("p11ha: server localhost:" + std::to_string(port) + ": Connection refused"));
  EXPECT_THAT(said, HasSubstr("nobody shows a token with the serial number \"" + store.serial(0) + "\""));
  serveAgain();
  EXPECT_TRUE(awaitHaLog("succeeded for member: " + store.serial(0)));
  session = client.open(0);
  EXPECT_EQ(client.login(session), CKR_OK);
}

// A server that takes connections and says nothing costs its time once, not for each member.
TEST_F(RemoteGroupTest, ASilentServerIsAskedOnceAtFirst) {
  serve();
  const base::Descriptor silent(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent.get(), 16), 0);
  ASSERT_EQ(getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  port = ntohs(address.sin_port);
  configureGroup("   ConnectTimeout = 300;\n");
  client.f = module();
  testing::internal::CaptureStderr();
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("no answer in time"));
  int asked = 0;
  for (int one = 0; (one = accept4(silent.get(), nullptr, nullptr, SOCK_CLOEXEC)) >= 0; ++asked) close(one);
  EXPECT_EQ(asked, 1);
}

// And certificates that are renewed later are taken as they come.
TEST_F(RemoteGroupTest, FilesThatAreMendedLaterAreTaken) {
  serve();
  const Pki& pki = Pki::theOne();
  const std::filesystem::path mine = store.folder() / "mine.key";
  configureGroup({}, "localhost",
                 "   ServerCAFile = " + pki.path("ca.pem") + ";\n   ClientCertFile = " + pki.path("alice.pem") +
                     ";\n   ClientPrivKeyFile = " + mine.string() + ";\n");
  client.f = module();
  testing::internal::CaptureStderr();
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr(mine.string() + ": No such file or directory; remote members are down until it is mended"));
  std::filesystem::copy_file(pki.path("alice.key"), mine);
  EXPECT_TRUE(awaitHaLog("succeeded for member: " + store.serial(0)));
  session = client.open(0);
  EXPECT_EQ(client.login(session), CKR_OK);
}

TEST_F(RemoteGroupTest, WhatIsWrongWithItsCertificatesIsSaid) {
  serve();
  const Pki& pki = Pki::theOne();
  const auto said = [&](const std::string& ca, const std::string& cert, const std::string& keyFile,
                        const std::string& name = "localhost") {
    const auto line = [&](const char* what, const std::string& file) {
      return file.empty() ? std::string() : "   " + std::string(what) + " = " + pki.path(file) + ";\n";
    };
    configureGroup({}, name,
                   line("ServerCAFile", ca) + line("ClientCertFile", cert) + line("ClientPrivKeyFile", keyFile));
    testing::internal::CaptureStderr();
    EXPECT_EQ(module()->C_Initialize(nullptr), CKR_OK);
    EXPECT_EQ(module()->C_Finalize(nullptr), CKR_OK);
    return testing::internal::GetCapturedStderr();
  };
  const std::string server = "server localhost:" + std::to_string(port) + ": ";
  EXPECT_EQ(said("ca.pem", "alice.pem", "alice.key"), "");
  EXPECT_THAT(said("other.pem", "alice.pem", "alice.key"),
              HasSubstr(server + "its certificate: self-signed certificate in certificate chain"));
  EXPECT_THAT(said("ca.pem", "mallory.pem", "mallory.key"), HasSubstr(server + "it refuses: unknown CA"));
  EXPECT_THAT(said("ca.pem", "alice.pem", ""), HasSubstr(conf() + ":15: ServerName00: expected a ClientPrivKeyFile"));
  EXPECT_THAT(said("ca.pem", "nothing.pem", "alice.key"),
              HasSubstr(conf() + ":18: ClientCertFile: " + pki.path("nothing.pem") + ": No such file"));
  EXPECT_THAT(said("ca.pem", "expired.pem", "expired.key"),
              HasSubstr(conf() + ":18: ClientCertFile: " + pki.path("expired.pem") + ": the certificate has expired"));
  EXPECT_THAT(said("ca.pem", "alice.pem", "bob.key"),
              HasSubstr(conf() + ":19: ClientPrivKeyFile: " + pki.path("bob.key") + ": key values mismatch"));
  EXPECT_THAT(said("ca.pem", "alice.pem", "alice.key", "127.1"), HasSubstr("its certificate: hostname mismatch"));
  EXPECT_THAT(said("ca.pem", "alice.pem", "alice.key", "no-such-host.invalid"), HasSubstr("its name: "));
}

TEST_F(RemoteGroupTest, ADeactivatedMemberIsLeftAndComesBack) {
  serve();
  begin();
  EXPECT_EQ(ctl("deactivate " + store.serial(0)).first, 0);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sign(), CKR_OK);
  EXPECT_TRUE(awaitHaLog(store.serial(0) + " deactivated"));
  EXPECT_EQ(ctl("activate " + store.serial(0)).first, 0);
  EXPECT_TRUE(awaitHaLog("succeeded for member: " + store.serial(0)));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sign(), CKR_OK);
}

TEST_F(RemoteGroupTest, ARevokedMemberIsLeftAndComesBack) {
  serve();
  begin();
  EXPECT_EQ(ctl("revoke " + store.serial(0)).first, 0);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sign(), CKR_OK);
  EXPECT_TRUE(awaitHaLog("has dropped member: " + store.serial(0)));
  EXPECT_TRUE(awaitHaLog("failed for member: " + store.serial(0)));
  EXPECT_EQ(ctl("restore " + store.serial(0)).first, 0);
  EXPECT_TRUE(awaitHaLog("succeeded for member: " + store.serial(0)));
}

// A child has connections of its own, and the parent keeps the ones it had.
TEST_F(RemoteGroupTest, AForkedChildConnectsForItself) {
  serve();
  begin();
  const pid_t child = fork();
  if (child == 0) {
    if (client.random(session) != CKR_CRYPTOKI_NOT_INITIALIZED) _exit(1);
    if (client.f->C_Initialize(nullptr) != CKR_OK) _exit(2);
    const CK_SESSION_HANDLE own = client.open(0);
    // Not logged in, unlike the parent.
    CK_SESSION_INFO info{};
    if (client.f->C_GetSessionInfo(own, &info) != CKR_OK || info.state != CKS_RW_PUBLIC_SESSION) _exit(3);
    if (client.login(own, "wrong") != CKR_PIN_INCORRECT) _exit(4);
    if (client.login(own) != CKR_OK) _exit(5);
    CK_OBJECT_HANDLE made = 0;
    if (client.createKey(own, made) != CKR_OK || client.sign(own, made) != CKR_OK) _exit(6);
    if (client.f->C_Finalize(nullptr) != CKR_OK) _exit(7);
    _exit(0);
  }
  for (int i = 0; i < 50; ++i) EXPECT_EQ(sign(), CKR_OK);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(sign(), CKR_OK);
  EXPECT_EQ(haLog().find("dropped"), std::string::npos);
}

TEST_F(RemoteGroupTest, AHangingCallCostsItsDeadlineAndNoMore) {
  serve({.module = P11HA_BINARY_DIR "/lib/p11ha-failing.so"}, "   CallDeadline = 400;\n");
  begin();
  rule("hang serial:" + store.serial(0) + " C_GenerateRandom");
  const auto before = std::chrono::steady_clock::now();
  std::vector<CK_RV> rvs;
  // It is on one of the two that each of these ends.
  for (int i = 0; i < 4; ++i) rvs.push_back(client.random(session));
  const auto took = std::chrono::steady_clock::now() - before;
  rule("heal any");
  EXPECT_GE(took, 390ms);
  EXPECT_LT(took, 2s);
  // Whose time is over has no second try.
  EXPECT_EQ(std::count(rvs.begin(), rvs.end(), CKR_DEVICE_ERROR), 1);
  EXPECT_EQ(std::count(rvs.begin(), rvs.end(), CKR_OK), 3);
  EXPECT_TRUE(awaitHaLog("has dropped member: " + store.serial(0)));
}

TEST_F(RemoteGroupTest, AFrozenApplianceIsNoticed) {
  serve({.limits = "   HeartbeatInterval = 50;\n"}, "   HeartbeatInterval = 50;\n   HeartbeatMisses = 4;\n");
  begin();
  const pid_t worker = workerOf("alice");
  freeze(worker);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(client.random(session), CKR_DEVICE_ERROR);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 2s);
  kill(worker, SIGCONT);
  EXPECT_TRUE(awaitHaLog("succeeded for member: " + store.serial(0)));
}

TEST_F(RemoteGroupTest, FinalizeDoesNotWaitForACallThatHangs) {
  serve({.module = P11HA_BINARY_DIR "/lib/p11ha-failing.so"}, "   FinalizeWait = 200;\n");
  begin();
  rule("hang any C_GenerateRandom");
  auto stuck = std::async(std::launch::async, [&] { return client.random(session); });
  EXPECT_TRUE(await([&] { return waiting().find("C_GenerateRandom") != std::string::npos; }, "the call"));
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 3s);
  EXPECT_NE(stuck.get(), CKR_OK);
  rule("heal any");
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  EXPECT_EQ(client.random(client.open(0)), CKR_OK);
}

// Threads of the library must not be in OpenSSL while that cleans up behind itself.
TEST_F(RemoteGroupTest, ExitWithoutFinalizeIsOrderly) {
  serve();
  for (int i = 0; i < 10; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      begin();
      exit(HasFailure() ? 1 : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
}

TEST_F(RemoteGroupTest, ManyThreadsShareItsConnections) {
  serve();
  begin();
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      const CK_SESSION_HANDLE own = client.open(0);
      for (int i = 0; i < 100; ++i) {
        if (client.sign(own, key) != CKR_OK || client.random(own) != CKR_OK) ++failed;
      }
      client.f->C_CloseSession(own);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(connections(), 2U);
}

}  // namespace
}  // namespace p11ha::tests
