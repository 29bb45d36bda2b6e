// What an appliance does for clients that mean well.
#include <signal.h>

#include <filesystem>
#include <thread>

#include "testbed/failing_module/command.h"
#include "tests/appliance/appliance.h"

namespace p11ha::tests {

using cryptoki::Fn;
using cryptoki::makeCall;
using transport::Destination;
using transport::Farewell;

namespace {

class ServingTest : public ApplianceTest {};

TEST_F(ServingTest, GreetsWithWhatTheClientMayUse) {
  start({.partitions = "   Partition01Label = member2;\n   Partition01Authentication = PED;\n"
                       "   Partition01PedPin = 12345678;\n",
         .clients = "   Client00Name = alice;\n   Client00Partitions = *;\n"
                    "   Client01Name = bob;\n   Client01Partitions = member2;\n"});
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  ASSERT_EQ(alice->greeting().partitions.size(), 2U);
  EXPECT_EQ(alice->greeting().partitions[0].serial, store.serial(0));
  EXPECT_EQ(alice->greeting().partitions[0].label, "member1");
  EXPECT_EQ(alice->greeting().partitions[0].authentication, transport::Authentication::Password);
  EXPECT_EQ(alice->greeting().partitions[1].authentication, transport::Authentication::Ped);

  const auto bob = client("bob");
  EXPECT_FALSE(bob->greet());
  ASSERT_TRUE(bob->goodbye());
  EXPECT_EQ(bob->goodbye()->reason, Farewell::NotAllowed);
  EXPECT_TRUE(awaitLog("client bob may not use partition " + store.serial(0)));

  RawClient list(port, clientFiles("bob"), Destination{{7}, ""});
  ASSERT_TRUE(list.greet()) << list.error();
  ASSERT_EQ(list.greeting().partitions.size(), 1U);
  EXPECT_EQ(list.greeting().partitions[0].serial, store.serial(1));
}

// As SoftHSM does not show a token that another process is writing to.
TEST_F(ServingTest, WaitsForATokenThatIsNotShownForAMoment) {
  start();
  const std::filesystem::path tokens = store.folder() / "tokens";
  const std::filesystem::path aside = store.folder() / "aside";
  std::filesystem::rename(tokens, aside);
  std::filesystem::create_directory(tokens);
  const auto alice = client("alice");
  std::thread back([&] {
    awaitLog("is not there any more: the module is begun anew");
    std::filesystem::remove_all(tokens);
    std::filesystem::rename(aside, tokens);
  });
  EXPECT_TRUE(alice->greet());
  back.join();
  EXPECT_EQ(random(*alice, open(*alice)), CKR_OK);
}

TEST_F(ServingTest, ServesACallAndAnInitWithItsCall) {
  start();
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  CK_TOKEN_INFO info{};
  EXPECT_EQ(alice->call(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{77}, &info)), CKR_OK);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(info.serialNumber), 16), store.serial(0));
  const CK_SESSION_HANDLE session = open(*alice);
  EXPECT_EQ(random(*alice, session), CKR_OK);
  CK_OBJECT_HANDLE key = 0;
  EXPECT_EQ(makeKey(*alice, session, key), CKR_USER_NOT_LOGGED_IN);
  ASSERT_EQ(login(*alice, session), CKR_OK);
  ASSERT_EQ(makeKey(*alice, session, key), CKR_OK);
  EXPECT_EQ(sign(*alice, session, key), CKR_OK);
  EXPECT_EQ(sign(*alice, session, key + 1), CKR_OBJECT_HANDLE_INVALID) << "SoftHSM's own answer";
  EXPECT_EQ(alice->call(makeCall<Fn::CloseSession>(session)), CKR_OK);
  EXPECT_EQ(random(*alice, session), CKR_SESSION_HANDLE_INVALID);
  EXPECT_NE(open(*alice), session) << "a session's handle came again";
}

TEST_F(ServingTest, RefusesWhatIsNoClientsBusiness) {
  start();
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  CK_UTF8CHAR label[32] = {};
  CK_UTF8CHAR pin[] = "12345678";
  EXPECT_EQ(alice->call(makeCall<Fn::InitToken>(CK_SLOT_ID{0}, pin, CK_ULONG{8}, label)), CKR_FUNCTION_NOT_SUPPORTED);
  EXPECT_EQ(alice->call(makeCall<Fn::Finalize>(nullptr)), CKR_FUNCTION_NOT_SUPPORTED);
  CK_ULONG count = 0;
  EXPECT_EQ(alice->call(makeCall<Fn::GetSlotList>(CK_BBOOL{CK_TRUE}, nullptr, &count)), CKR_FUNCTION_NOT_SUPPORTED);
}

TEST_F(ServingTest, ApplicationsHaveLoginsOfTheirOwn) {
  start();
  const auto a = greeted("alice");
  const auto b = greeted("bob");
  ASSERT_TRUE(a && b);
  const CK_SESSION_HANDLE ofA = open(*a);
  const CK_SESSION_HANDLE ofB = open(*b);
  ASSERT_EQ(login(*a, ofA), CKR_OK);
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(makeKey(*a, ofA, key), CKR_OK);

  CK_OBJECT_HANDLE none = 0;
  EXPECT_EQ(makeKey(*b, ofB, none), CKR_USER_NOT_LOGGED_IN);
  EXPECT_NE(sign(*b, ofB, key), CKR_OK);
  EXPECT_EQ(random(*b, ofA), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(login(*b, ofB, "87654320"), CKR_PIN_INCORRECT);
  EXPECT_EQ(login(*b, ofB), CKR_OK);
  EXPECT_EQ(logout(*b, ofB), CKR_OK);
  EXPECT_EQ(sign(*a, ofA, key), CKR_OK) << "the other's logout was ours, too";
}

TEST_F(ServingTest, ConnectionsOfAnApplicationShareItsLoginAndNotTheirSessions) {
  start();
  const auto first = greeted("alice", 0, 5);
  const auto second = greeted("alice", 0, 5);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->greeting().instance, second->greeting().instance);
  const CK_SESSION_HANDLE one = open(*first);
  const CK_SESSION_HANDLE two = open(*second);
  ASSERT_EQ(login(*first, one), CKR_OK);
  EXPECT_EQ(login(*second, two), CKR_USER_ALREADY_LOGGED_IN);
  EXPECT_EQ(random(*second, one), CKR_SESSION_HANDLE_INVALID);
  CK_OBJECT_HANDLE key = 0;
  EXPECT_EQ(makeKey(*second, two, key), CKR_OK);
  // Its sessions go with a connection, its login with the last one.
  first->close();
  ASSERT_TRUE(awaitLog("has gone"));
  EXPECT_EQ(sign(*second, two, key), CKR_OK);
  const pid_t worker = workerOf("alice");
  second->close();
  ASSERT_TRUE(await([&] { return kill(worker, 0) != 0; }, "the worker's end"));
  const auto third = greeted("alice", 0, 5);
  ASSERT_TRUE(third);
  EXPECT_NE(third->greeting().instance, second->greeting().instance);
  EXPECT_EQ(makeKey(*third, open(*third), key), CKR_USER_NOT_LOGGED_IN);
}

TEST_F(ServingTest, AnApplicationIdIsOneCertificates) {
  start();
  const auto alice = greeted("alice", 0, 5);
  ASSERT_TRUE(alice);
  const auto bob = client("bob", 0, 5);
  EXPECT_FALSE(bob->greet());
  ASSERT_TRUE(bob->goodbye());
  EXPECT_EQ(bob->goodbye()->reason, Farewell::NotAllowed);
  EXPECT_EQ(random(*alice, open(*alice)), CKR_OK);
}

TEST_F(ServingTest, AnApplicationIdIsNotTakenByWhoMayNotBeThere) {
  start({.clients = "   Client00Name = alice;\n   Client00Partitions = *;\n"});
  const auto alice = client("alice", 0, 5);
  ASSERT_TRUE(alice->shakeHands());
  const auto bob = client("bob", 0, 5);
  EXPECT_FALSE(bob->greet());
  EXPECT_TRUE(alice->greet());
}

TEST_F(ServingTest, ACrashIsOneApplicationsOwn) {
  start();
  const auto a = greeted("alice");
  const auto b = greeted("bob", 0, 9);
  ASSERT_TRUE(a && b);
  const CK_SESSION_HANDLE ofA = open(*a);
  ASSERT_EQ(login(*a, ofA), CKR_OK);
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(makeKey(*a, ofA, key), CKR_OK);
  const pid_t worker = workerOf("bob");
  kill(worker, SIGSEGV);
  EXPECT_TRUE(b->awaitEnd());
  EXPECT_TRUE(awaitLog("worker " + std::to_string(worker) + " was killed by signal 11"));
  EXPECT_EQ(sign(*a, ofA, key), CKR_OK);
  const auto again = greeted("bob", 0, 9);
  ASSERT_TRUE(again);
  EXPECT_NE(again->greeting().instance, b->greeting().instance);
  EXPECT_EQ(random(*again, open(*again)), CKR_OK);
}

class SlowModuleTest : public ApplianceTest {
 protected:
  SlowModuleTest() : control((store.folder() / "control").string()) {
    std::filesystem::create_directory(control);
    setenv("P11HA_FAILING_CONTROL", control.c_str(), 1);
    unsetenv("P11HA_FAILING_MODULE");
  }
  static ApplianceText slow(const std::string& limits = "   HeartbeatInterval = 50;\n") {
    return {.module = P11HA_BINARY_DIR "/lib/p11ha-failing.so", .limits = limits};
  }
  void rule(const std::string& line) const {
    const auto result = testbed::runCommand(control, line);
    EXPECT_EQ(result.status, 0) << line << ": " << result.error;
  }
  std::string waiting() const { return testbed::runCommand(control, "waiting any").output; }

  std::string control;
};

TEST_F(SlowModuleTest, ASlowCallDelaysNoOtherAndIsNamedByHeartbeats) {
  start(slow());
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  const CK_SESSION_HANDLE slowOne = open(*alice);
  const CK_SESSION_HANDLE other = open(*alice);
  ASSERT_EQ(login(*alice, slowOne), CKR_OK);
  CK_MECHANISM aes{CKM_AES_KEY_GEN, nullptr, 0};
  CK_ULONG length = 32;
  CK_ATTRIBUTE wanted[] = {{CKA_VALUE_LEN, &length, sizeof length}};
  CK_OBJECT_HANDLE made = 0;
  // Also of a kind that the reader runs itself: it is relieved.
  CK_BYTE digest[4] = {};
  for (const auto& [function, call] :
       {std::pair{"C_GenerateKey", makeCall<Fn::GenerateKey>(slowOne, &aes, wanted, CK_ULONG{1}, &made)},
        {"C_SeedRandom", makeCall<Fn::SeedRandom>(slowOne, digest, CK_ULONG{4})}}) {
    rule(std::string("hang any ") + function);
    const std::uint32_t request = alice->send(call);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(random(*alice, other), CKR_OK);
    EXPECT_EQ(login(*alice, other), CKR_USER_ALREADY_LOGGED_IN);
    const auto beat = alice->awaitHeartbeat();
    ASSERT_TRUE(beat) << function;
    EXPECT_EQ(*beat, std::vector<std::uint32_t>{request}) << function;
    rule("heal any");
    EXPECT_EQ(alice->await(request), CKR_OK) << function;
  }
  const auto beat = alice->awaitHeartbeat();
  ASSERT_TRUE(beat);
  EXPECT_TRUE(beat->empty());
}

// Neither at a reload, nor when an application of its own begins.
TEST_F(SlowModuleTest, AModuleThatDoesNotShowItsTokensDelaysNoOther) {
  start(slow("   HeartbeatInterval = 50;\n   CallDeadline = 600;\n"));
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  const CK_SESSION_HANDLE session = open(*alice);
  rule("hang any C_GetTokenInfo");
  tell(SIGHUP);
  const auto before = std::chrono::steady_clock::now();
  const auto bob = client("bob");
  ASSERT_TRUE(bob->shakeHands()) << "new connections do not wait for a reload";
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
  EXPECT_EQ(random(*alice, session), CKR_OK);
  // It asks, too; what hangs there is ended like any call.
  EXPECT_FALSE(bob->greet());
  EXPECT_TRUE(awaitLog("the module has not shown its tokens for"));
  rule("heal any");
  EXPECT_TRUE(awaitLog("configuration read again"));
  EXPECT_TRUE(greeted("bob"));
  EXPECT_EQ(random(*alice, session), CKR_OK);
}

TEST_F(SlowModuleTest, AnswersBeforeASlowCallDoNotWaitForIt) {
  start(slow());
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  const CK_SESSION_HANDLE session = open(*alice);
  const CK_SESSION_HANDLE slowOne = open(*alice);
  rule("hang any C_SeedRandom");
  CK_BYTE bytes[8];
  CK_BYTE seed[4] = {};
  // In one record, so that the reader has both at hand.
  transport::Buffer both;
  transport::Outputs outputs;
  for (const auto& [request, call] : {std::pair{100U, makeCall<Fn::GenerateRandom>(session, bytes, CK_ULONG{8})},
                                      {101U, makeCall<Fn::SeedRandom>(slowOne, seed, CK_ULONG{4})}}) {
    transport::putFrame(both, request, transport::opcode(call.fn), 0, [&, each = call](transport::Buffer& to) {
      EXPECT_EQ(transport::encodeRequest(each, transport::Limits{}, to, outputs), CKR_OK);
    });
  }
  ASSERT_TRUE(alice->sendBytes(both.bytes()));
  EXPECT_TRUE(alice->awaitFrame(100));
  rule("heal any");
  EXPECT_TRUE(alice->awaitFrame(101));
}

TEST_F(SlowModuleTest, AWorkerThatExceedsTheDeadlineIsKilled) {
  start(slow("   HeartbeatInterval = 50;\n   CallDeadline = 300;\n"));
  const auto alice = greeted("alice");
  const auto bob = greeted("bob");
  ASSERT_TRUE(alice && bob);
  const CK_SESSION_HANDLE ofBob = open(*bob);
  const CK_SESSION_HANDLE session = open(*alice);
  rule("hang any C_GenerateRandom");
  CK_BYTE bytes[8];
  alice->send(makeCall<Fn::GenerateRandom>(session, bytes, CK_ULONG{8}));
  EXPECT_TRUE(alice->awaitEnd());
  EXPECT_TRUE(awaitLog("C_GenerateRandom has not come back for"));
  rule("heal any");
  EXPECT_EQ(random(*bob, ofBob), CKR_OK);
  const auto again = greeted("alice");
  ASSERT_TRUE(again);
  EXPECT_EQ(random(*again, open(*again)), CKR_OK);
}

TEST_F(SlowModuleTest, ASessionIsClosedWhenItsCallHasComeBack) {
  start(slow());
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  const CK_SESSION_HANDLE session = open(*alice);
  const CK_SESSION_HANDLE other = open(*alice);
  rule("hang any C_GenerateRandom times 1");
  CK_BYTE bytes[8];
  const std::uint32_t hung = alice->send(makeCall<Fn::GenerateRandom>(session, bytes, CK_ULONG{8}));
  ASSERT_TRUE(await([&] { return waiting() != "0\n" && !waiting().empty(); }, "the call"));
  const std::uint32_t closing = alice->send(makeCall<Fn::CloseSession>(session));
  EXPECT_EQ(random(*alice, other), CKR_OK);
  rule("heal any");
  EXPECT_EQ(alice->await(hung), CKR_OK);
  EXPECT_EQ(alice->await(closing), CKR_OK);
}

TEST_F(SlowModuleTest, DeactivatingEndsALoginThatASessionOnItsWayOutHolds) {
  start(slow("   HeartbeatInterval = 50;\n   MaxSessions = 2;\n"));
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  const CK_SESSION_HANDLE hanging = open(*alice);
  const CK_SESSION_HANDLE other = open(*alice);
  ASSERT_EQ(login(*alice, other), CKR_OK);
  rule("hang any C_SeedRandom times 1");
  CK_BYTE seed[4] = {};
  const std::uint32_t hung = alice->send(makeCall<Fn::SeedRandom>(hanging, seed, CK_ULONG{4}));
  ASSERT_TRUE(await([&] { return waiting() != "0\n" && !waiting().empty(); }, "the call"));
  const std::uint32_t closing = alice->send(makeCall<Fn::CloseSession>(hanging));
  // There is room for another once nobody finds the first any more; the module still has it.
  CK_SESSION_HANDLE more = 0;
  const auto oneMore =
      makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_SERIAL_SESSION | CKF_RW_SESSION}, nullptr, nullptr, &more);
  ASSERT_TRUE(await([&] { return alice->call(oneMore) == CKR_OK; }, "room for another session"));
  EXPECT_EQ(alice->call(makeCall<Fn::CloseSession>(more)), CKR_OK);
  EXPECT_EQ(alice->call(makeCall<Fn::CloseSession>(other)), CKR_OK);
  const CK_SESSION_HANDLE last = open(*alice);
  CK_OBJECT_HANDLE key = 0;
  EXPECT_EQ(makeKey(*alice, last, key), CKR_OK) << "the login is that of the session that hangs";
  ctl("deactivate member1");
  ctl("activate member1");
  EXPECT_EQ(logout(*alice, last), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(makeKey(*alice, last, key), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(login(*alice, last), CKR_OK) << "the module knows it, too";
  rule("heal any");
  EXPECT_EQ(alice->await(hung), CKR_OK);
  EXPECT_EQ(alice->await(closing), CKR_OK);
}

TEST_F(SlowModuleTest, ADeadClientsSessionsAreClosed) {
  start(slow("   HeartbeatInterval = 50;\n   MaxSessions = 3;\n"));
  const auto staying = greeted("alice", 0, 5);
  const auto dying = greeted("alice", 0, 5);
  ASSERT_TRUE(staying && dying);
  const CK_SESSION_HANDLE session = open(*staying);
  const CK_SESSION_HANDLE first = open(*dying);
  open(*dying);
  CK_SESSION_HANDLE more = 0;
  const auto oneMore = makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_SERIAL_SESSION}, nullptr, nullptr, &more);
  EXPECT_EQ(staying->call(oneMore), CKR_SESSION_COUNT);
  rule("hang any C_SeedRandom");
  CK_BYTE seed[4] = {};
  dying->send(makeCall<Fn::SeedRandom>(first, seed, CK_ULONG{4}));
  ASSERT_TRUE(await([&] { return waiting() != "0\n" && !waiting().empty(); }, "the call"));
  dying->close();
  ASSERT_TRUE(awaitLog("has gone"));
  EXPECT_EQ(random(*staying, session), CKR_OK);
  rule("heal any");
  EXPECT_TRUE(await([&] { return staying->call(oneMore) == CKR_OK; }, "the sessions' end"));
}

TEST_F(SlowModuleTest, EndsInOrderAndAnswersWhatIsInFlight) {
  start(slow());
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  const CK_SESSION_HANDLE session = open(*alice);
  rule("delay any C_GenerateRandom 400");
  CK_BYTE bytes[8] = {};
  const std::uint32_t request = alice->send(makeCall<Fn::GenerateRandom>(session, bytes, CK_ULONG{8}));
  const auto beat = alice->awaitHeartbeat();
  ASSERT_TRUE(beat);
  tell(SIGTERM);
  EXPECT_EQ(alice->await(request), CKR_OK);
  EXPECT_TRUE(alice->awaitGoodbye());
  ASSERT_TRUE(alice->goodbye());
  EXPECT_EQ(alice->goodbye()->reason, Farewell::ShuttingDown);
  EXPECT_TRUE(alice->awaitEnd());
  EXPECT_EQ(end(0), 0);
  EXPECT_EQ(logged("does not end"), 0U);
}

TEST_F(SlowModuleTest, WhatIsCancelledIsAnsweredAllTheSame) {
  start(slow());
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  const CK_SESSION_HANDLE session = open(*alice);
  const CK_SESSION_HANDLE other = open(*alice);
  rule("hang any C_GenerateRandom times 1");
  CK_BYTE bytes[8];
  const std::uint32_t hung = alice->send(makeCall<Fn::GenerateRandom>(session, bytes, CK_ULONG{8}));
  const auto beat = alice->awaitHeartbeat();
  ASSERT_TRUE(beat && *beat == std::vector<std::uint32_t>{hung});
  transport::Buffer cancel;
  transport::putCancel(cancel, hung);
  EXPECT_TRUE(alice->sendBytes(cancel.bytes()));
  EXPECT_EQ(random(*alice, other), CKR_OK);
  rule("heal any");
  EXPECT_TRUE(alice->await(hung).has_value());
}

}  // namespace
}  // namespace p11ha::tests
