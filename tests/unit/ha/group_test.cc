#include "ha/group.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "tests/support/manual_clock.h"
#include "tests/support/recording_sink.h"
#include "tests/support/scripted_member.h"

namespace p11ha::ha {
namespace {

using tests::ScriptedMember;

const std::string kPin = "sesame";
const CK_UTF8CHAR* pinBytes() { return reinterpret_cast<const CK_UTF8CHAR*>(kPin.data()); }

TEST(LoginState, NobodyIsLoggedInAtFirst) {
  const LoginState login;
  EXPECT_EQ(login.user(), LoginState::kNobody);
  EXPECT_EQ(login.generation(), 0U);
  EXPECT_FALSE(login.credentials().has_value());
}

TEST(LoginState, KeepsThePinUntilTheLogout) {
  LoginState login;
  login.loggedIn(CKU_USER, pinBytes(), kPin.size());
  EXPECT_EQ(login.user(), CKU_USER);
  const auto credentials = login.credentials();
  ASSERT_TRUE(credentials.has_value());
  EXPECT_EQ(credentials->userType, CKU_USER);
  EXPECT_TRUE(credentials->pinGiven);
  EXPECT_EQ(std::string(credentials->pin.begin(), credentials->pin.end()), kPin);
  EXPECT_EQ(credentials->generation, login.generation());
  login.loggedOut();
  EXPECT_EQ(login.user(), LoginState::kNobody);
  EXPECT_FALSE(login.credentials().has_value());
}

TEST(LoginState, ANullPinIsNotAnEmptyOne) {
  LoginState login;
  login.loggedIn(CKU_USER, nullptr, 0);
  EXPECT_FALSE(login.credentials()->pinGiven);
  login.loggedIn(CKU_SO, pinBytes(), 0);
  EXPECT_TRUE(login.credentials()->pinGiven);
  EXPECT_TRUE(login.credentials()->pin.empty());
  EXPECT_EQ(login.user(), CKU_SO);
}

TEST(LoginState, EveryLoginAndLogoutIsAnotherGeneration) {
  LoginState login;
  login.loggedIn(CKU_USER, pinBytes(), kPin.size());
  EXPECT_EQ(login.generation(), 1U);
  login.loggedOut();
  EXPECT_EQ(login.generation(), 2U);
  login.loggedIn(CKU_USER, pinBytes(), kPin.size());
  EXPECT_EQ(login.generation(), 3U);
}

TEST(MakeView, StandbyMembersServeOnlyWhereNobodyElseIsLeft) {
  struct Row {
    MemberMask up, standby, serving;
  };
  constexpr Row kRows[] = {{0b111, 0b000, 0b111}, {0b111, 0b100, 0b011}, {0b110, 0b100, 0b010}, {0b100, 0b100, 0b100},
                           {0b110, 0b110, 0b110}, {0b000, 0b100, 0b000}, {0b001, 0b110, 0b001}};
  for (const Row& row : kRows) {
    const GroupView view = makeView(row.up, row.standby);
    EXPECT_EQ(view.serving, row.serving);
    EXPECT_EQ(view.synced, row.up);
    EXPECT_EQ(view.none(), row.serving == 0);
  }
  EXPECT_EQ(makeView(0b110, 0).primary(), 1U);
  EXPECT_EQ(makeView(0b110, 0b010).primary(), 2U);
}

class GroupTest : public testing::Test {
 protected:
  GroupTest() : group({}, clock, log) {
    for (unsigned i = 0; i < 3; ++i) group.members.add(std::make_shared<ScriptedMember>(std::to_string(i)), i == 2);
    group.members.setPresent(0b111);
    group.publish(makeView(0b111, 0b100));
    group.onLoss = [this](unsigned, std::uint32_t, Loss, CK_RV) { ++losses; };
  }
  void lose(unsigned member, std::uint32_t epoch) {
    group.lose(group.member(member), epoch, Loss::Dropped, CKR_DEVICE_ERROR);
  }

  tests::ManualClock clock;
  tests::RecordingSink log;
  Group group;
  int losses = 0;
};

TEST_F(GroupTest, ALossIsToldOnceAnEpoch) {
  for (int i = 0; i < 50; ++i) lose(0, 1);
  EXPECT_EQ(losses, 1);
  group.member(0).epoch = 2;
  EXPECT_FALSE(group.member(0).isSuspect());
  lose(0, 2);
  EXPECT_EQ(losses, 2);
}

TEST_F(GroupTest, ALossUnderAStaleEpochIsNoLoss) {
  group.member(0).epoch = 2;
  lose(0, 1);
  lose(0, 3);
  EXPECT_EQ(losses, 0);
  EXPECT_FALSE(group.member(0).isSuspect());
}

TEST_F(GroupTest, AMemberUnderRecoveryReceivesChangesUntilACallLosesIt) {
  group.publish(makeView(0b101, 0b100));
  EXPECT_EQ(group.receivers(), 0b101U);
  group.receive(group.member(1));
  EXPECT_TRUE(group.isReceiving(group.member(1)));
  EXPECT_EQ(group.receivers(), 0b111U);
  EXPECT_EQ(group.callable(), 0b001U) << "it does not serve";
  lose(1, 1);
  EXPECT_FALSE(group.isReceiving(group.member(1)));
  EXPECT_EQ(group.receivers(), 0b101U);
  EXPECT_EQ(losses, 0) << "whoever recovers it finds out";
  lose(0, 1);
  EXPECT_EQ(group.receivers(), 0b101U) << "until Management follows";
}

// An attempt to recover it finds out what it cannot do.
TEST_F(GroupTest, AMemberThatIsDownCannotBeLost) {
  group.publish(makeView(0b101, 0b100));
  lose(1, 1);
  EXPECT_EQ(losses, 0);
  EXPECT_FALSE(group.member(1).isSuspect()) << "else it would be avoided once it serves";
  group.publish(makeView(0b111, 0b100));
  lose(1, 1);
  EXPECT_EQ(losses, 1);
}

TEST_F(GroupTest, CallsAvoidAMemberBeforeManagementFollows) {
  EXPECT_EQ(group.callable(), 0b011U);
  lose(0, 1);
  EXPECT_EQ(group.callable(), 0b010U);
  lose(1, 1);
  EXPECT_EQ(group.callable(), 0b100U) << "the standby member, though nobody has promoted it";
  lose(2, 1);
  EXPECT_EQ(group.callable(), 0U);
}

TEST_F(GroupTest, AViewStaysGoodAsLongAsTheGroup) {
  const GroupView& first = group.view();
  group.publish(makeView(0b001, 0b100));
  EXPECT_EQ(first.serving, 0b011U);
  group.publish(makeView(0b111, 0b100));
  EXPECT_EQ(&group.view(), &first);
}

TEST_F(GroupTest, APolicyStaysGoodAsLongAsTheGroup) {
  const GroupPolicy& first = group.policy();
  GroupPolicy other = first;
  other.synchronize = !first.synchronize;
  group.setPolicy(other);
  EXPECT_NE(&group.policy(), &first);
  EXPECT_EQ(group.policy().synchronize, !first.synchronize);
  group.setPolicy(GroupPolicy(first));
  EXPECT_EQ(&group.policy(), &first);
}

// Whoever waits for a member, on a thread of its own.
class Waiting {
 public:
  explicit Waiting(Group& group) : thread_([this, &group] { found_ = group.awaitMember(std::chrono::minutes(1)); }) {}
  bool found() {
    thread_.join();
    return found_;
  }

 private:
  bool found_ = false;
  std::thread thread_;
};

TEST_F(GroupTest, WhoWaitsForAMemberIsWokenWhenOneServes) {
  EXPECT_TRUE(group.awaitMember({})) << "one is there";
  group.publish({});
  EXPECT_FALSE(group.awaitMember({})) << "for no time";
  Waiting waiting(group);
  group.publish(makeView(0b100, 0b100));
  EXPECT_TRUE(waiting.found());
}

TEST_F(GroupTest, NobodyWaitsBeyondTheEnd) {
  group.publish({});
  Waiting waiting(group);
  group.endWaiting();
  EXPECT_FALSE(waiting.found());
  Group basic({}, clock, log);
  Waiting another(basic);
  basic.end();
  EXPECT_FALSE(another.found());
}

TEST(Roster, GrowsAndKeepsEveryonesPlace) {
  Roster roster;
  for (unsigned i = 0; i < kMaxMembers; ++i) {
    GroupMember* const added = roster.add(std::make_shared<ScriptedMember>(std::to_string(i)), i == 1);
    ASSERT_NE(added, nullptr);
    EXPECT_EQ(added->index, i);
    EXPECT_EQ(added->standby, i == 1);
  }
  EXPECT_EQ(roster.add(std::make_shared<ScriptedMember>("one more"), false), nullptr);
  EXPECT_EQ(roster.everyone(), ~MemberMask{0});
  EXPECT_EQ(roster.size(), 0U) << "nobody was said to be present";
  roster.setPresent(0b1010);
  EXPECT_EQ(roster.size(), 2U);
  std::string present;
  for (const GroupMember& member : roster.each(roster.present())) present += member.serial + " ";
  EXPECT_EQ(present, "1 3 ");
  EXPECT_EQ(roster.find("2"), &roster[2]) << "not present";
  EXPECT_EQ(roster.find("33"), nullptr);
}

TEST(MechanismTable, IsTheIntersectionInTheFirstMembersOrder) {
  ScriptedMember a("a");
  ScriptedMember b("b");
  a.mechanisms = {CKM_SHA256, CKM_ECDSA, CKM_RSA_PKCS};
  a.mechanismInfo = {1024, 4096, CKF_SIGN | CKF_VERIFY};
  b.mechanisms = {CKM_RSA_PKCS, CKM_AES_GCM, CKM_SHA256};
  b.mechanismInfo = {2048, 8192, CKF_SIGN | CKF_HW};
  MechanismTable table;
  EXPECT_EQ(table.intersect(a).rv, CKR_OK);
  EXPECT_EQ(table.list(), a.mechanisms);
  EXPECT_EQ(table.intersect(b).rv, CKR_OK);
  EXPECT_EQ(table.list(), (std::vector<CK_MECHANISM_TYPE>{CKM_SHA256, CKM_RSA_PKCS}));
  EXPECT_FALSE(table.offers(CKM_ECDSA));
  EXPECT_FALSE(table.offers(CKM_AES_GCM));
  EXPECT_EQ(table.info(CKM_ECDSA), nullptr);
  const CK_MECHANISM_INFO* common = table.info(CKM_RSA_PKCS);
  ASSERT_NE(common, nullptr);
  EXPECT_EQ(common->ulMinKeySize, 2048U);
  EXPECT_EQ(common->ulMaxKeySize, 4096U);
  EXPECT_EQ(common->flags, CK_FLAGS{CKF_SIGN});
}

TEST(MechanismTable, AMemberThatWillNotTellLeavesItAsItWas) {
  ScriptedMember a("a");
  ScriptedMember b("b");
  b.down = cryptoki::Outcome{CKR_DEVICE_ERROR, cryptoki::Fate::Unknown};
  MechanismTable table;
  EXPECT_EQ(table.intersect(b).rv, CKR_DEVICE_ERROR);
  EXPECT_TRUE(table.list().empty());
  ASSERT_EQ(table.intersect(a).rv, CKR_OK);
  EXPECT_EQ(table.intersect(b).fate, cryptoki::Fate::Unknown);
  EXPECT_EQ(table.list(), a.mechanisms);
}

TEST(MechanismTable, AMechanismWithoutInfoIsNotOffered) {
  ScriptedMember a("a");
  a.script = [](const cryptoki::Call& call) -> std::optional<cryptoki::Outcome> {
    if (call.fn == cryptoki::Fn::GetMechanismInfo && call.get<CK_MECHANISM_TYPE>(1) == CKM_ECDSA)
      return cryptoki::Outcome{CKR_MECHANISM_INVALID};
    return std::nullopt;
  };
  MechanismTable table;
  ASSERT_EQ(table.intersect(a).rv, CKR_OK);
  EXPECT_EQ(table.list(), std::vector<CK_MECHANISM_TYPE>{CKM_RSA_PKCS});
}

TEST(MemberSessions, GivesBackOnlyWhatFitsEpochAndKind) {
  MemberSessions sessions;
  EXPECT_TRUE(sessions.giveBack({10, 1, CKF_RW_SESSION}));
  EXPECT_FALSE(sessions.borrow(2, CKF_RW_SESSION).has_value());
  EXPECT_FALSE(sessions.borrow(1, 0).has_value());
  const auto borrowed = sessions.borrow(1, CKF_RW_SESSION);
  ASSERT_TRUE(borrowed.has_value());
  EXPECT_EQ(borrowed->handle, 10U);
  EXPECT_FALSE(sessions.borrow(1, CKF_RW_SESSION).has_value());
}

TEST(MemberSessions, ADiscardedSessionIsNeverLentOnlyClosed) {
  MemberSessions sessions;
  sessions.discard({10, 1, 0});
  EXPECT_FALSE(sessions.borrow(1, 0).has_value());
  sessions.giveBack({11, 1, 0});
  EXPECT_EQ(sessions.takeAll().size(), 2U);
  EXPECT_TRUE(sessions.takeAll().empty());
}

TEST(MemberSessions, ThePoolIsBounded) {
  MemberSessions sessions;
  CK_SESSION_HANDLE handle = 1;
  while (handle < 10'000 && sessions.giveBack({handle, 1, 0})) ++handle;
  EXPECT_LT(handle, 10'000U);
  EXPECT_EQ(sessions.takeAll().size(), handle - 1);
}

}  // namespace
}  // namespace p11ha::ha
