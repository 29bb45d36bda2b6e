// An appliance told what to do while it runs.
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "testbed/memberd/control.h"
#include "tests/appliance/appliance.h"
#include "tests/support/program.h"

namespace p11ha::tests {

using cryptoki::Fn;
using cryptoki::makeCall;
using transport::Farewell;
using transport::PartitionState;

namespace {

class AdministrationTest : public ApplianceTest {
 protected:
  /// A client that is logged in and has a key.
  void begin(const ApplianceText& text = {}) {
    start(text);
    alice = greeted("alice", 0, 5);
    ASSERT_TRUE(alice);
    session = open(*alice);
    ASSERT_EQ(login(*alice, session), CKR_OK);
    ASSERT_EQ(makeKey(*alice, session, key), CKR_OK);
  }
  void tellsState(PartitionState state) const {
    const auto change = alice->awaitState();
    ASSERT_TRUE(change);
    EXPECT_EQ(change->state, state);
    EXPECT_EQ(change->serial, store.serial(0));
  }
  /// Somebody who has connected to the control socket, and says nothing.
  base::Descriptor controller() const {
    base::Descriptor fresh(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{20, 0};
    setsockopt(fresh.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (store.folder() / "ctl").string().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(fresh.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fresh;
  }
  bool find() const {
    return alice->call(makeCall<Fn::FindObjectsInit>(session, nullptr, CK_ULONG{0})) == CKR_OK &&
           alice->call(makeCall<Fn::FindObjectsFinal>(session)) == CKR_OK;
  }

  std::unique_ptr<RawClient> alice;
  CK_SESSION_HANDLE session = 0;
  CK_OBJECT_HANDLE key = 0;
};

TEST_F(AdministrationTest, ListsPartitionsAndClients) {
  begin();
  const auto [status, partitions] = ctl("list");
  EXPECT_EQ(status, 0);
  EXPECT_NE(partitions.find(store.serial(0) + "  member1  active  PASSWORD"), std::string::npos) << partitions;
  EXPECT_NE(ctl("clients").second.find("alice   test         127.0.0.1:"), std::string::npos) << ctl("clients").second;
  EXPECT_EQ(ctl("dance").first, 2);
  EXPECT_EQ(ctl("reload").first, 0);
  EXPECT_EQ(ctl("activate nothing"), (std::pair{1, std::string("no partition nothing\n")}));
  struct stat socket {};
  ASSERT_EQ(stat((store.folder() / "ctl").c_str(), &socket), 0);
  EXPECT_EQ(socket.st_mode & 0777, 0600U);
}

// More than a socket takes at once.
TEST_F(AdministrationTest, ListsHundredsOfClients) {
  start();
  std::vector<std::unique_ptr<RawClient>> all;
  for (int i = 0; i < 300; ++i) {
    all.push_back(client("alice", 0, 5));
    const transport::GreetingRequest request{transport::kProtocolVersion, store.serial(0), std::string(900, 'x')};
    ASSERT_TRUE(all.back()->greet(request)) << i;
  }
  const auto [status, said] = ctl("clients");
  EXPECT_EQ(status, 0);
  EXPECT_GT(said.size(), 300U * 900U);
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 301);
  EXPECT_TRUE(said.ends_with("\n"));
  EXPECT_NE(ctl("list").second.find("  300  "), std::string::npos);
}

TEST_F(AdministrationTest, DeactivatingEndsLogins) {
  begin();
  EXPECT_EQ(ctl("deactivate member1").first, 0);
  EXPECT_EQ(sign(*alice, session, key), CKR_USER_NOT_LOGGED_IN);
  EXPECT_FALSE(find());
  EXPECT_EQ(random(*alice, session), CKR_OK);
  EXPECT_EQ(login(*alice, session), CKR_USER_NOT_LOGGED_IN);
  tellsState(PartitionState::Deactivated);
  const auto late = greeted("bob");
  ASSERT_TRUE(late);
  EXPECT_EQ(late->greeting().partitions[0].state, PartitionState::Deactivated);
  EXPECT_EQ(login(*late, open(*late)), CKR_USER_NOT_LOGGED_IN);

  EXPECT_EQ(ctl("activate member1").first, 0);
  tellsState(PartitionState::Active);
  EXPECT_EQ(sign(*alice, session, key), CKR_USER_NOT_LOGGED_IN) << "activating logs nobody in";
  EXPECT_EQ(login(*alice, session), CKR_OK);
  EXPECT_EQ(makeKey(*alice, session, key), CKR_OK);
  EXPECT_EQ(sign(*alice, session, key), CKR_OK);
}

TEST_F(AdministrationTest, DeactivatingEndsLoginsHoweverShort) {
  begin();
  ctl("deactivate member1");
  ctl("activate member1");
  EXPECT_EQ(sign(*alice, session, key), CKR_USER_NOT_LOGGED_IN);
  CK_SESSION_INFO info{};
  EXPECT_TRUE(await(
      [&] {
        return alice->call(makeCall<Fn::GetSessionInfo>(session, &info)) == CKR_OK &&
               info.state == CKS_RW_PUBLIC_SESSION;
      },
      "the login's end in the module"));
  EXPECT_EQ(login(*alice, session), CKR_OK);
}

TEST_F(AdministrationTest, TheSecurityOfficerNeedsNoActivation) {
  start();
  const auto officer = greeted("alice");
  ASSERT_TRUE(officer);
  ctl("deactivate member1");
  EXPECT_EQ(login(*officer, open(*officer), "87654321", CKU_SO), CKR_OK);
}

TEST_F(AdministrationTest, RevokingTakesThePartitionAway) {
  begin();
  const auto bob = greeted("bob");
  ASSERT_TRUE(bob);
  const CK_SESSION_HANDLE ofBob = open(*bob);
  EXPECT_EQ(ctl("revoke member1 alice").first, 0);
  CK_TOKEN_INFO info{};
  EXPECT_EQ(alice->call(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info)), CKR_TOKEN_NOT_PRESENT);
  EXPECT_EQ(sign(*alice, session, key), CKR_TOKEN_NOT_PRESENT);
  tellsState(PartitionState::Revoked);
  EXPECT_EQ(random(*bob, ofBob), CKR_OK);
  const auto late = greeted("alice");
  ASSERT_TRUE(late);
  EXPECT_EQ(late->greeting().partitions[0].state, PartitionState::Revoked);

  EXPECT_EQ(ctl("restore member1 alice").first, 0);
  tellsState(PartitionState::Active);
  EXPECT_TRUE(await([&] { return random(*alice, session) == CKR_SESSION_HANDLE_INVALID; }, "the session's end"));
  session = open(*alice);
  EXPECT_EQ(makeKey(*alice, session, key), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(login(*alice, session), CKR_OK);

  EXPECT_EQ(ctl("revoke member1").first, 0);
  EXPECT_EQ(random(*bob, ofBob), CKR_TOKEN_NOT_PRESENT);
}

TEST_F(AdministrationTest, StatesOutliveARestartAndInstancesDoNot) {
  const ApplianceText text{.appliance = "   StateFile = " + (store.folder() / "state").string() + ";\n"};
  begin(text);
  ctl("deactivate member1");
  ctl("revoke member1 bob");
  EXPECT_EQ(end(SIGTERM), 0);
  start(text);
  const auto again = greeted("alice", 0, 5);
  const auto bob = greeted("bob");
  ASSERT_TRUE(again && bob);
  EXPECT_NE(again->greeting().instance, alice->greeting().instance);
  EXPECT_EQ(again->greeting().partitions[0].state, PartitionState::Deactivated);
  EXPECT_EQ(bob->greeting().partitions[0].state, PartitionState::Revoked);
}

TEST_F(AdministrationTest, APedPartitionKnowsTheUsersPinAndNobodyElses) {
  start({.partitions = "   Partition00Authentication = PED;\n   Partition00PedPin = 12345678;\n"});
  const auto client = greeted("alice");
  ASSERT_TRUE(client);
  CK_TOKEN_INFO info{};
  EXPECT_EQ(client->call(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info)), CKR_OK);
  EXPECT_NE(info.flags & CKF_PROTECTED_AUTHENTICATION_PATH, 0U);
  const CK_SESSION_HANDLE of = open(*client);
  const auto without = [&](CK_USER_TYPE user) {
    return client->call(makeCall<Fn::Login>(of, user, nullptr, CK_ULONG{0}));
  };
  EXPECT_NE(without(CKU_SO), CKR_OK);
  EXPECT_EQ(without(CKU_USER), CKR_OK);
  EXPECT_EQ(makeKey(*client, of, key), CKR_OK);
  ctl("deactivate member1");
  EXPECT_EQ(sign(*client, of, key), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(without(CKU_USER), CKR_USER_NOT_LOGGED_IN);
  ctl("activate member1");
  EXPECT_EQ(without(CKU_USER), CKR_OK);
}

TEST_F(AdministrationTest, ReloadsWhatIsGoodAndKeepsWhatWasGood) {
  begin();
  // Without bob, and with a limit that is seen at once.
  configure({.limits = "   MaxSessions = 2;\n", .clients = "   Client00Name = alice;\n   Client00Partitions = *;\n"});
  tell(SIGHUP);
  ASSERT_TRUE(awaitLog("configuration read again"));
  const auto bob = client("bob");
  EXPECT_FALSE(bob->greet());
  EXPECT_EQ(sign(*alice, session, key), CKR_OK);

  configure({.limits = "   MaxSessions = many;\n", .clients = ""});
  tell(SIGHUP);
  ASSERT_TRUE(awaitLog("the configuration is not taken over"));
  EXPECT_EQ(logged("memberd.conf:12: MaxSessions: expected a whole number from 1 to 10000000, found \"many\""), 1U);
  EXPECT_EQ(ctl("reload").first, 1);
  ASSERT_TRUE(greeted("alice"));

  configure({.clients = "   Client00Name = bob;\n   Client00Partitions = *;\n"});
  tell(SIGHUP);
  EXPECT_TRUE(alice->awaitEnd());
  EXPECT_TRUE(awaitLog("closed: the partition is no longer yours"));
  EXPECT_TRUE(greeted("bob"));
}

TEST_F(AdministrationTest, ReloadsOnlyWithItsLog) {
  begin();
  const std::filesystem::path before = store.folder() / "log";
  const std::filesystem::path aside = store.folder() / "aside";
  // No permission is what root does not lack: a directory that is gone, and one in the place of the file.
  configure({.limits = "   MaxSessions = 2;\n"});
  std::string text;
  std::getline(std::ifstream(configuration()), text, '\0');
  const std::string wanted = "LogFile = " + before.string();
  const std::string gone = (store.folder() / "nowhere" / "log").string();
  ASSERT_NE(text.find(wanted), std::string::npos);
  std::ofstream(configuration()) << text.replace(text.find(wanted), wanted.size(), "LogFile = " + gone);
  const auto [status, said] = ctl("reload");
  EXPECT_EQ(status, 1);
  EXPECT_NE(said.find(gone + ": No such file or directory\n"), std::string::npos) << said;
  EXPECT_EQ(logged(gone + ": No such file or directory"), 1U);
  EXPECT_EQ(logged("the configuration is not taken over: the one before stays"), 1U);
  EXPECT_EQ(logged("configuration read again"), 0U);
  ASSERT_TRUE(greeted("alice")) << "with as many sessions as before";
  EXPECT_TRUE(awaitLog("application test at partition", 2)) << "in the log as before";

  configure({});
  std::filesystem::rename(before, aside);
  std::filesystem::create_directory(before);
  EXPECT_NE(ctl("reload").second.find(before.string() + ": Is a directory\n"), std::string::npos);
  std::filesystem::remove(before);
  EXPECT_EQ(ctl("reload").first, 0);
  EXPECT_EQ(logged("configuration read again"), 1U) << "in a new file";
}

TEST_F(AdministrationTest, SaysThatItsLogWasFull) {
  begin();
  // As good as a full disk: of the line at the limit, what fits is written.
  rlimit before{};
  const rlimit full{std::filesystem::file_size(store.folder() / "log") + 10, RLIM_INFINITY};
  ASSERT_EQ(prlimit(daemon.pid(), RLIMIT_FSIZE, &full, &before), 0);
  for (const char* const change : {"deactivate", "activate", "deactivate"})
    EXPECT_EQ(ctl(std::string(change) + " member1").first, 0);
  ASSERT_EQ(prlimit(daemon.pid(), RLIMIT_FSIZE, &before, nullptr), 0);
  EXPECT_EQ(ctl("activate member1").first, 0);
  EXPECT_EQ(logged("error: the log could not be written: 3 records were dropped here\n"), 1U);
  EXPECT_EQ(logged(": deactivate"), 0U);
  const std::string text = log();
  const std::string year = text.substr(0, 5);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_TRUE(line.starts_with(year)) << line;
}

TEST_F(AdministrationTest, WhatClientsSayOfThemselvesTellsATerminalNothing) {
  start();
  const auto bad = client("bob");
  ASSERT_TRUE(
      bad->greet(transport::GreetingRequest{transport::kProtocolVersion, store.serial(0), "a\x1b[2J\nb\xC2\x9B"}));
  const std::string said = ctl("clients").second;
  EXPECT_NE(said.find("a?[2J?b??"), std::string::npos) << said;
}

TEST_F(AdministrationTest, SaysWhenAStateWillNotOutliveARestart) {
  begin({.appliance = "   StateFile = " + (store.folder() / "nowhere" / "state").string() + ";\n"});
  EXPECT_EQ(ctl("deactivate member1").first, 1);
  EXPECT_EQ(sign(*alice, session, key), CKR_USER_NOT_LOGGED_IN) << "it is in force all the same";
}

// What is revoked must not be served because nobody can tell that it is.
TEST_F(AdministrationTest, DoesNotServeWithoutTheStatesThatItKept) {
  const std::string file = (store.folder() / "state").string();
  configure({.appliance = "   StateFile = " + file + ";\n"});
  const auto said = [&] {
    return runCommandLine(P11HA_BINARY_DIR "/bin/p11ha-memberd --config " + configuration() + " 2>&1");
  };
  std::ofstream(file) << "revoked\t" << store.serial(0) << "\nrevok";
  EXPECT_EQ(said().status, 1);
  EXPECT_NE(said().text.find(file + ":2: expected \"deactivated\" or \"revoked\""), std::string::npos) << said().text;
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  EXPECT_EQ(said().status, 1);
  EXPECT_NE(said().text.find(file + ": not a regular file"), std::string::npos) << said().text;
}

TEST_F(AdministrationTest, ControllersThatSayNothingKeepNobodyOut) {
  start();
  std::vector<base::Descriptor> idle;
  for (int i = 0; i < 40; ++i) idle.push_back(controller());
  EXPECT_EQ(ctl("list").first, 0);
}

TEST_F(AdministrationTest, NoControllerIsCutOffForAnother) {
  start();
  const std::filesystem::path process = "/proc/" + std::to_string(daemon.pid());
  const auto descriptors = [&] {
    return std::distance(std::filesystem::directory_iterator(process / "fd"), std::filesystem::directory_iterator());
  };
  const auto before = descriptors();
  std::vector<base::Descriptor> all;
  for (int i = 0; i < 40; ++i) all.push_back(controller());
  // All that it would let in, and nothing left that it would do.
  const auto isThrough = [&] {
    std::string stat;
    std::getline(std::ifstream(process / "stat"), stat);
    return descriptors() >= before + 16 && stat.find(") S ") != std::string::npos;
  };
  ASSERT_TRUE(await(isThrough, "its look at them"));
  for (const base::Descriptor& each : all) EXPECT_EQ(send(each.get(), "list\n", 5, MSG_NOSIGNAL), 5);
  for (const base::Descriptor& each : all) {
    char answer[4096];
    ASSERT_GT(recv(each.get(), answer, sizeof answer, 0), 0);
    EXPECT_EQ(answer[0], '0');
  }
}

TEST_F(AdministrationTest, SaysWhatMayBecomeOfWhatWasNotAnswered) {
  start();
  const std::string path = store.folder() / "ctl";
  const auto told = [&](const std::vector<std::string>& words) {
    const testbed::ControlAnswer answer = testbed::tellAppliance(path, words, Milliseconds(10));
    EXPECT_EQ(answer.status, 1);
    return answer.text;
  };
  const std::string late = path + ": no answer within 0 s: is the appliance stopped?\n";
  freeze(daemon.pid());
  EXPECT_EQ(told({"list"}), late);
  EXPECT_EQ(told({"deactivate", "member1"}), late + "the change may still take effect: \"p11ha-memberd ctl " + path +
                                                 " list\" tells, once it answers\n");
  EXPECT_EQ(told({"reload"}), late + "it may still read its configuration again: its log tells\n");
  tell(SIGCONT);
  EXPECT_TRUE(
      await([&] { return ctl("list").second.find("member1  deactivated") != std::string::npos; }, "the change"));
}

TEST_F(AdministrationTest, FiftyControllersAtOnceAreAllAnswered) {
  start();
  const std::string one = P11HA_BINARY_DIR "/bin/p11ha-memberd ctl " + (store.folder() / "ctl").string() + " list";
  const Ran ran = runCommandLine("for i in $(seq 50); do " + one + " >/dev/null && echo well & done 2>&1; wait");
  std::size_t well = 0;
  for (auto at = ran.text.find("well"); at != std::string::npos; at = ran.text.find("well", at + 1)) ++well;
  EXPECT_EQ(well, 50U) << ran.text;
}

TEST_F(AdministrationTest, KeepsItsPartitionsWhereAReloadDoesNotFindAll) {
  begin();
  configure({.partitions = "   Partition01Label = nothing;\n",
             .clients = "   Client00Name = bob;\n   Client00Partitions = *;\n"});
  EXPECT_EQ(ctl("reload").first, 1);
  EXPECT_EQ(logged("not all partitions are there"), 1U);
  EXPECT_NE(ctl("list").second.find("member1  active"), std::string::npos);
  EXPECT_EQ(sign(*alice, session, key), CKR_OK);
  EXPECT_TRUE(greeted("alice"));
}

TEST_F(AdministrationTest, SaysWhatIsWrongWithItsConfiguration) {
  configure({.appliance = "   Lisen = x;\n",
             .limits = "   MaxClients = 0;\n",
             .partitions = "   Partition01Label = member2;\n   Partition01Module = 7;\n",
             .clients = "   Client00Name = alice;\n   Client01Fingerprint = zz;\n   Client01Partitions = *;\n"});
  const std::string file = configuration();
  const std::string said =
      runCommandLine(P11HA_BINARY_DIR "/bin/p11ha-memberd --check --config " + file + " 2>&1").text;
  for (const char* const line :
       {":10: Lisen: unknown key in section Appliance",
        ":13: MaxClients: expected a whole number from 1 to 100000, found \"0\"",
        ":20: Partition1: there is no Module7Path", ":24: Client0: expected the partitions that it may use",
        ":25: Client01Fingerprint: expected 64 hex digits, with colons or without, found \"zz\""})
    EXPECT_NE(said.find(file + line), std::string::npos) << line << "\n" << said;
}

TEST_F(AdministrationTest, NoMoreApplicationsThanThereMayBe) {
  start({.limits = "   MaxClients = 2;\n"});
  auto one = greeted("alice");
  const auto two = greeted("alice");
  ASSERT_TRUE(one && two);
  EXPECT_FALSE(client("alice")->greet());
  EXPECT_TRUE(awaitLog("there are 2 applications already"));
  one->close();
  EXPECT_TRUE(await([&] { return client("alice")->greet(); }, "room for another"));
  const auto onlyOneIsLeft = [&] {
    const std::string all = ctl("clients").second;
    return std::count(all.begin(), all.end(), '\n') == 2;
  };
  ASSERT_TRUE(await(onlyOneIsLeft, "the end of that one"));
  // One that never shows who it is keeps nobody out.
  std::vector<std::unique_ptr<RawClient>> hollow;
  for (int i = 0; i < 3; ++i) {
    hollow.push_back(client("bob"));
    ASSERT_TRUE(hollow.back()->shakeHands());
  }
  EXPECT_TRUE(await([&] { return client("alice")->greet(); }, "room beside those without a greeting"));
}

TEST_F(AdministrationTest, NoClientTakesWhatOthersNeed) {
  start({.limits = "   MaxClientsPerCertificate = 2;\n   MaxConnectionsPerCertificate = 3;\n"});
  auto one = greeted("alice", 0, 1);
  const auto two = greeted("alice", 0, 2);
  ASSERT_TRUE(one && two);
  const auto third = client("alice", 0, 3);
  EXPECT_TRUE(!third->greet() || third->awaitEnd());
  EXPECT_TRUE(awaitLog("client alice: closed: it has 2 applications already"));
  const auto three = greeted("alice", 0, 2);
  ASSERT_TRUE(three);
  const auto fourth = client("alice", 0, 2);
  EXPECT_TRUE(!fourth->greet() || fourth->awaitEnd());
  EXPECT_TRUE(awaitLog("client alice: closed: it has 3 connections already"));
  EXPECT_TRUE(greeted("bob"));
  EXPECT_EQ(random(*two, open(*two)), CKR_OK);
  one->close();
  EXPECT_TRUE(await(
      [&] {
        const auto again = client("alice", 0, 3);
        return again->greet() && random(*again, open(*again)) == CKR_OK;
      },
      "room for another"));
}

TEST_F(AdministrationTest, AReloadChangesHowOneLogsIn) {
  begin();
  EXPECT_EQ(logout(*alice, session), CKR_OK);
  const auto withoutPin = [&] {
    return alice->call(makeCall<Fn::Login>(session, CK_USER_TYPE{CKU_USER}, nullptr, CK_ULONG{0}));
  };
  EXPECT_NE(withoutPin(), CKR_OK);
  configure({.partitions = "   Partition00Authentication = PED;\n   Partition00PedPin = 12345678;\n"});
  EXPECT_EQ(ctl("reload").first, 0);
  EXPECT_EQ(withoutPin(), CKR_OK);
  EXPECT_EQ(makeKey(*alice, session, key), CKR_OK);
}

TEST_F(AdministrationTest, NoSecretIsEverLogged) {
  begin({.partitions = "   Partition00Authentication = PED;\n   Partition00PedPin = 12345678;\n"});
  login(*alice, session, "98765432");
  logout(*alice, session);
  login(*alice, session, "98765432");
  EXPECT_EQ(logged("12345678") + logged("98765432"), 0U);
}

TEST_F(AdministrationTest, DiesWithItsWorkers) {
  begin();
  const pid_t worker = workerOf("alice");
  end(SIGKILL);
  EXPECT_TRUE(alice->awaitEnd());
  EXPECT_TRUE(await([&] { return kill(worker, 0) != 0; }, "the worker's end"));
}

}  // namespace
}  // namespace p11ha::tests
