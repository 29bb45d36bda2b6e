// Each message of the reference, caused on real members: tests/golden/ha_situations.md says which test causes which.
#include <algorithm>
#include <set>

#include "tests/appliance/ha_messages_fixture.h"

namespace p11ha::tests {
namespace {

const std::vector<ExpectedLine> kUndisturbed = {{"MgmtThreadStart"}, {"ConfiguredAsPassword"}, {"MgmtThreadTerminate"}};

HaValues code(const std::string& number, const std::string& name) {
  return {{"<ErrorCodeHex>", {number}}, {"<ErrorCodeString>", {name}}};
}
const HaValues kDeviceError = code("0x00000030", "CKR_DEVICE_ERROR");
const HaValues kOneObject = {{"<Number>", {"1"}}};
constexpr bool kAnyNumber = true;

TEST_F(HaMessages, BeginsAndEnds) {
  serve();
  configure({0, 1});
  begin();
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(1, {});
}

TEST_F(HaMessages, PedBased) {
  serve({.partitions = "   Partition00Authentication = PED;\n   Partition00PedPin = 12345678;\n"});
  configure({0, 1});
  initialize();
  ASSERT_EQ(client.f->C_Login(session, CKU_USER, nullptr, 0), CKR_OK);
  generateTokenKey();
  expectSigning();
  finalize();
  expectGroupHistory({{"MgmtThreadStart"}, {"ConfiguredAsPed"}, {"MgmtThreadTerminate"}});
  expectHistoryOf(0, {});
  expectHistoryOf(1, {});
}

TEST_F(HaMessages, KilledAndStartedAgain) {
  serve();
  configure({0, 1});
  begin();
  kill(1);
  signUntil("DropMember", 1);
  await("RecoveryFailed", 1);
  generateTokenKey();
  start(1);
  await("Recovered", 1);
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(
      1, {{"DropMember"}, {"RecoveryFailed", kDeviceError, kAnyNumber}, {"Reintroducing", kOneObject}, {"Recovered"}});
}

TEST_F(HaMessages, AllOffline) {
  serve();
  configure({0, 1});
  begin();
  kill(1);
  signUntil("DropMember", 1);
  kill(0);
  EXPECT_EQ(sign(), CKR_DEVICE_ERROR);
  for (const std::size_t member : {0UL, 1UL}) await("RecoveryFailed", member);
  EXPECT_EQ(sign(), CKR_DEVICE_ERROR);
  for (const std::size_t member : {0UL, 1UL}) start(member);
  for (const std::size_t member : {0UL, 1UL}) await("Recovered", member);
  expectSigning();
  finalize();
  expectGroupHistory({{"MgmtThreadStart"}, {"ConfiguredAsPassword"}, {"MembersOffline"}, {"MgmtThreadTerminate"}});
  for (const std::size_t member : {0UL, 1UL})
    expectHistoryOf(member, {{"DropMember"}, {"RecoveryFailed", kDeviceError, kAnyNumber}, {"Recovered"}});
  const std::vector<std::string> all = texts();
  const auto place = [&](const std::string& part) {
    return std::find_if(all.begin(), all.end(), [&](const auto& text) { return text.find(part) != std::string::npos; });
  };
  EXPECT_EQ(place("all members gone offline") - place("has dropped member: " + store.serial(0)), 1);
}

TEST_F(HaMessages, UnreachableAtFirst) {
  serve();
  configure({0, 1});
  kill(1);
  begin();
  await("RecoveryFailed", 1);
  start(1);
  await("Recovered", 1);
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(1, {{"DropUnrecoverable"},
                      {"RecoveryFailed", kDeviceError, kAnyNumber},
                      {"Reintroducing", kOneObject},
                      {"Recovered"}});
}

TEST_F(HaMessages, NotActivatedAtFirst) {
  serve();
  configure({0, 1});
  tellPartition("deactivate", 1);
  begin();
  await("StillNotActivated", 1);
  tellPartition("activate", 1);
  await("Recovered", 1);
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(1, {{"NotActivated"},
                      {"StillNotActivated", {}, kAnyNumber},
                      {"FirstActivated"},
                      {"Reintroducing", kOneObject},
                      {"Recovered"}});
}

TEST_F(HaMessages, DeactivatedAndActivated) {
  serve();
  configure({0, 1});
  begin();
  tellPartition("deactivate", 1);
  signUntil("MemberDeactivated", 1);
  await("RecoveryFailed", 1);
  tellPartition("activate", 1);
  await("Recovered", 1);
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(1, {{"MemberDeactivated"},
                      {"RecoveryFailed", code("0x00000101", "CKR_USER_NOT_LOGGED_IN"), kAnyNumber},
                      {"MemberNowActivated"},
                      {"Recovered"}});
}

TEST_F(HaMessages, RevokedAndRestored) {
  serve();
  configure({0, 1});
  begin();
  tellPartition("revoke", 1);
  signUntil("DropMember", 1);
  await("RecoveryFailed", 1);
  tellPartition("restore", 1);
  await("Recovered", 1);
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(1, {{"DropMember"},
                      {"MemberRevoked"},
                      {"RecoveryFailed", code("0x000000E0", "CKR_TOKEN_NOT_PRESENT"), kAnyNumber},
                      {"Recovered"}});
}

TEST_F(HaMessages, AddedAndRemoved) {
  serve();
  configure({0, 1});
  begin();
  configure({0, 1, 2});
  signUntil("Recovered", 2);
  expectSigning();
  configure({0, 1});
  signUntil("DropMember", 2);
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(1, {});
  expectHistoryOf(2, {{"NewMember"}, {"Reintroducing", kOneObject}, {"Recovered"}, {"DropMember"}});
}

TEST_F(HaMessages, AnotherPin) {
  serve();
  configure({0, 1});
  kill(1);
  initialiseAnew(1, "11112222");
  start(1);
  begin();
  await("LoginFailed", 1);
  expectSigning();
  // Only when its daemon starts is the token looked at again.
  kill(1);
  initialiseAnew(1);
  start(1);
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_EQ(client.login(session), CKR_OK);
  await("Recovered", 1);
  // The old one's handle has ended with the login.
  generateTokenKey();
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(1, {{"LoginFailed", code("0x000000A0", "CKR_PIN_INCORRECT")},
                      {"ReenableMember"},
                      {"Reintroducing", kOneObject},
                      {"Recovered"}});
}

TEST_F(HaMessages, GivenUp) {
  const std::string twice = "   reconnAtt = 2;\n";
  serve();
  configure({0, 1}, twice);
  begin();
  kill(1);
  signUntil("AttemptsExceeded", 1);
  start(1);
  configure({0, 1}, twice, 1);
  await("Recovered", 1);
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(1, {{"DropMember"},
                      {"RecoveryFailed", kDeviceError},
                      {"RecoveryFailed", kDeviceError},
                      {"AttemptsExceeded"},
                      {"ReenableMember"},
                      {"Recovered"}});
}

TEST_F(HaMessages, InitialisedAnew) {
  serve();
  configure({0, 1});
  begin();
  kill(1);
  signUntil("DropMember", 1);
  await("RecoveryFailed", 1);
  initialiseAnew(1);
  start(1);
  await("Unrecoverable", 1);
  expectSigning();
  finalize();
  expectGroupHistory(kUndisturbed);
  expectHistoryOf(0, {});
  expectHistoryOf(1, {{"DropMember"},
                      {"RecoveryFailed", kDeviceError, kAnyNumber},
                      {"Unrecoverable", code("0x000000E1", "CKR_TOKEN_NOT_RECOGNIZED")}});
}

TEST(HaSituations, NamesEachTestAndNoOther) {
  std::set<std::string> named;
  for (const HaMessage& message : haMessages()) {
    EXPECT_FALSE(message.situation.empty()) << message.event;
    named.insert(message.tests.begin(), message.tests.end());
  }
  std::set<std::string> there;
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *all.GetTestSuite(i);
    if (suite.name() != std::string("HaMessages")) continue;
    for (int test = 0; test < suite.total_test_count(); ++test) there.insert(suite.GetTestInfo(test)->name());
  }
  EXPECT_EQ(named, there);
}

}  // namespace
}  // namespace p11ha::tests
