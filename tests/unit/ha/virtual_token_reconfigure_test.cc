// A group whose configuration changes while it runs.
#include "tests/unit/ha/virtual_token_fixture.h"

namespace p11ha::ha {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using test::Call;
using test::Fn;
using test::Log;
using test::makeCall;
using test::Outcome;
using test::ScriptedMember;

class VirtualTokenReconfigure : public test::VirtualTokenTest {
 protected:
  ScriptedMember& make(const std::string& serial) {
    members.push_back(std::make_shared<ScriptedMember>(serial));
    members.back()->put(tests::privateKey("key"));
    return *members.back();
  }
  /// All of `members` but those, and which of them stand by.
  GroupUpdate naming(const std::set<std::string>& without = {}, const std::set<std::string>& standby = {}) {
    GroupUpdate update{policy, {}};
    for (const auto& member : members) {
      const std::string& serial = member->serial();
      if (!without.contains(serial)) update.members.push_back({serial, standby.contains(serial), member});
    }
    return update;
  }
  void reconfigure(GroupUpdate update) {
    token->reconfigure(std::move(update));
    scheduler.run();
  }
};

using Names = std::set<std::string>;

TEST_F(VirtualTokenReconfigure, AMemberIsAdded) {
  startServing();
  ScriptedMember& added = make("D");
  reconfigure(naming());
  EXPECT_EQ(news(), (Log{halog::NewMember{"D"}, halog::Recovered{1, "D"}}));
  EXPECT_TRUE(added.loggedIn());
  EXPECT_EQ(signers(), (Names{"A", "B", "C", "D"}));
}

TEST_F(VirtualTokenReconfigure, AnAddedMemberThatIsNotThereIsTriedAgain) {
  startServing();
  ScriptedMember& added = make("D");
  added.down = Outcome{CKR_DEVICE_ERROR};
  reconfigure(naming());
  EXPECT_EQ(signers(), (Names{"A", "B", "C"}));
  added.down.reset();
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::Recovered>(), 1U);
  EXPECT_EQ(signers(), (Names{"A", "B", "C", "D"}));
}

TEST_F(VirtualTokenReconfigure, AMemberIsRemovedAndLeftAlone) {
  startServing();
  reconfigure(naming({"B"}));
  EXPECT_EQ(news(), Log{halog::DropMember{"B"}});
  EXPECT_EQ(phase(*members[1]), Phase::Removed);
  const std::size_t attaches = members[1]->attaches;
  EXPECT_EQ(signers(), (Names{"A", "C"}));
  scheduler.advance(minutes(10));
  EXPECT_EQ(members[1]->attaches, attaches);
  EXPECT_EQ(members[1]->openSessions(), 0U) << "that of the application's session, and our own";
  const std::size_t calls = members[1]->made.size();
  scheduler.advance(minutes(10));
  EXPECT_EQ(members[1]->made.size(), calls);
  EXPECT_EQ(news(), Log{halog::DropMember{"B"}});
}

TEST_F(VirtualTokenReconfigure, OfARemovedMemberWhatItsRecoveryOpenedIsClosedToo) {
  startServing();
  ScriptedMember& added = make("D");
  reconfigure(naming());
  EXPECT_NE(added.openSessions(), 0U);
  reconfigure(naming({"D"}));
  scheduler.advance(minutes(10));
  EXPECT_EQ(added.openSessions(), 0U);
}

TEST_F(VirtualTokenReconfigure, ACallOnARemovedMemberEndsThere) {
  startServing();
  bool removed = false;
  for (const auto& member : members) {
    member->script = [&, serial = member->serial()](const Call& made) -> std::optional<Outcome> {
      if (made.fn == Fn::Sign && !std::exchange(removed, true)) {
        token->reconfigure(naming({serial}));
        scheduler.advance(seconds(10));
      }
      return std::nullopt;
    };
  }
  const Signed made = sign(session);
  EXPECT_TRUE(removed);
  EXPECT_EQ(made.rv, CKR_OK);
  EXPECT_EQ(news(), Log{halog::DropMember{made.by}});
  EXPECT_EQ(signers().count(made.by), 0U);
  scheduler.advance(seconds(10));
  for (const auto& member : members) EXPECT_EQ(member->openSessions() == 0, member->serial() == made.by);
}

TEST_F(VirtualTokenReconfigure, AnOperationMovesFromARemovedMember) {
  startServing();
  ScriptedMember& begun = begin(session);
  reconfigure(naming({begun.serial()}));
  const Signed made = finish(session);
  EXPECT_EQ(made.rv, CKR_OK);
  EXPECT_NE(made.by, begun.serial());
}

TEST_F(VirtualTokenReconfigure, AMemberThatIsAddedAgainHasItsOldPlace) {
  startServing();
  reconfigure(naming({"A"}));
  scheduler.advance(seconds(10));
  forgetNews();
  reconfigure(naming());
  EXPECT_EQ(news(), (Log{halog::NewMember{"A"}, halog::Recovered{1, "A"}}));
  EXPECT_EQ(token->memberState(0).phase, Phase::Active);
  EXPECT_EQ(signers(), (Names{"A", "B", "C"}));
}

// A worker that takes leave of it comes too late.
TEST_F(VirtualTokenReconfigure, AMemberThatIsAddedAgainAtOnceKeepsWhatIsOpen) {
  startServing();
  reconfigure(naming({"A"}));
  workers.queueing = true;
  scheduler.advance(seconds(10));
  token->reconfigure(naming());
  scheduler.run();
  workers.queueing = false;
  workers.runQueued();
  scheduler.run();
  EXPECT_EQ(token->memberState(0).phase, Phase::Active);
  EXPECT_TRUE(members[0]->loggedIn());
  EXPECT_EQ(signers(), (Names{"A", "B", "C"}));
  EXPECT_EQ(lines<halog::DropMember>(), 1U);
}

TEST_F(VirtualTokenReconfigure, StandbyMembersArePromotedAndDemoted) {
  startServing();
  reconfigure(naming({}, {"A"}));
  EXPECT_EQ(signers(), (Names{"B", "C"}));
  reconfigure(naming({}, {"C"}));
  EXPECT_EQ(signers(), (Names{"A", "B"}));
  reconfigure(naming());
  EXPECT_EQ(signers(), (Names{"A", "B", "C"}));
  EXPECT_EQ(news(), Log{});
}

TEST_F(VirtualTokenReconfigure, AnIntervalCountsForTheAttemptThatIsWaitedFor) {
  startServing();
  loseInSign(*members[0], {CKR_DEVICE_ERROR});
  const std::size_t attaches = members[0]->attaches;
  scheduler.advance(seconds(5));
  policy.recovery.interval = seconds(10);
  reconfigure(naming());
  scheduler.advance(milliseconds(4'900));
  EXPECT_EQ(members[0]->attaches, attaches);
  scheduler.advance(milliseconds(100));
  EXPECT_EQ(members[0]->attaches, attaches + 1);
}

TEST_F(VirtualTokenReconfigure, ARaisedCounterRecoversAMemberThatWasGivenUp) {
  policy.recovery = {1, seconds(60)};
  startServing();
  loseInSign(*members[0], {CKR_DEVICE_ERROR});
  scheduler.advance(seconds(60));
  ASSERT_EQ(phase(*members[0]), Phase::GivenUp);
  members[0]->down.reset();
  forgetNews();
  reconfigure(naming());
  EXPECT_EQ(news(), Log{}) << "not raised";
  GroupUpdate update = naming();
  update.recover = true;
  reconfigure(update);
  EXPECT_EQ(news(), (Log{halog::ReenableMember{"A"}, halog::Recovered{1, "A"}}));
}

TEST_F(VirtualTokenReconfigure, WithoutARoomAMemberIsRefused) {
  startServing();
  for (unsigned i = 3; i < kMaxMembers; ++i) make("more" + std::to_string(i));
  make("last");
  reconfigure(naming());
  EXPECT_EQ(lines<halog::NewMember>(), kMaxMembers - 3);
  ASSERT_EQ(lines<halog::MemberRefused>(), 1U);
  forgetNews();
  reconfigure(naming({"A"}));
  EXPECT_EQ(news(), Log{halog::DropMember{"A"}}) << "said once; a removed member keeps its place";
  EXPECT_EQ(signers().size(), kMaxMembers - 1);
}

TEST_F(VirtualTokenReconfigure, ThePinIsChangedWithoutARemovedMember) {
  startServing();
  for (const auto& member : members) member->script = test::answering(Fn::SetPIN, {CKR_OK});
  members[1]->down = Outcome{CKR_DEVICE_ERROR};
  const auto setPin = [&] {
    std::string present = "sesame";
    std::string after = "sesames";
    const CK_RV rv =
        call(session, makeCall<Fn::SetPIN>(session, reinterpret_cast<CK_UTF8CHAR*>(present.data()), present.size(),
                                           reinterpret_cast<CK_UTF8CHAR*>(after.data()), after.size()));
    scheduler.run();
    return rv;
  };
  EXPECT_EQ(setPin(), CKR_DEVICE_ERROR);
  reconfigure(naming({"B"}));
  EXPECT_EQ(setPin(), CKR_OK);
  EXPECT_EQ(members[0]->count(Fn::SetPIN), 1U);
  EXPECT_EQ(members[1]->count(Fn::SetPIN), 0U);
  EXPECT_EQ(members[2]->count(Fn::SetPIN), 1U);
}

TEST_F(VirtualTokenReconfigure, EachAttemptLooksAtTheConfigurationFirst) {
  std::size_t looks = 0;
  std::vector<MemberSpec> specs;
  for (const auto& member : members) specs.push_back({member, false});
  Ports ports{clock, scheduler, workers, log, sessions};
  ports.beforeAttempt = [&] {
    ++looks;
    token->reconfigure(naming({"A"}));
  };
  token = std::make_unique<VirtualToken>(CK_SLOT_ID{0}, Face::Group, policy, std::move(specs), ports);
  members[0]->attachRv = CKR_TOKEN_NOT_PRESENT;
  token->start();
  scheduler.run();
  EXPECT_EQ(looks, 0U);
  members[0]->attachRv = CKR_OK;
  scheduler.advance(seconds(60));
  EXPECT_EQ(looks, 1U);
  EXPECT_EQ(phase(*members[0]), Phase::Removed) << "though the attempt succeeded";
  EXPECT_EQ(lines<halog::Recovered>(), 0U);
}

TEST_F(VirtualTokenReconfigure, AnOperationGoesOnWhereItBeganThoughItsMemberStandsByNow) {
  startServing();
  const std::string there = begin(session).serial();
  reconfigure(naming({}, {there}));
  const Signed made = finish(session);
  EXPECT_EQ(made.rv, CKR_OK);
  EXPECT_EQ(made.by, there);
  EXPECT_EQ(signers().count(there), 0U);
  reconfigure(naming());
  EXPECT_EQ(signers().count(there), 1U);
}

TEST_F(VirtualTokenReconfigure, AMemberThatIsReplacedWhileItIsRemovedIsANewOne) {
  startServing();
  reconfigure(naming({"B"}));
  members[1]->restart();
  members[1]->loseObjects();
  forgetNews();
  reconfigure(naming());
  EXPECT_EQ(news(), (Log{halog::NewMember{"B"}, halog::Recovered{1, "B"}}));
  EXPECT_EQ(signers(), (Names{"A", "C"})) << "the key is not extractable";
}

TEST_F(VirtualTokenReconfigure, OneThatIsUnrecoverableCanBeRemovedAndAddedAgain) {
  startServing();
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  members[1]->down.reset();
  members[1]->restart();
  members[1]->loseObjects();
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::Unrecoverable>(), 1U);
  reconfigure(naming({"B"}));
  reconfigure(naming());
  EXPECT_EQ(phase(*members[1]), Phase::Active);
}

using VirtualTokenBasic = VirtualTokenReconfigure;

TEST_F(VirtualTokenBasic, TheApplicationHasToBeginAnewOnceAllMembersAreLost) {
  policy.recoveryMode = RecoveryMode::Basic;
  startServing();
  for (const auto& member : members) member->down = Outcome{CKR_DEVICE_ERROR};
  EXPECT_EQ(sign(session).rv, CKR_DEVICE_REMOVED);
  scheduler.run();
  EXPECT_EQ(lines<halog::DropMember>(), 3U);
  EXPECT_EQ(lines<halog::MembersOffline>(), 1U);

  for (const auto& member : members) member->down.reset();
  const std::size_t attaches = members[0]->attaches;
  token->recoverNow(0);
  GroupUpdate update = naming();
  update.recover = true;
  reconfigure(update);
  scheduler.advance(minutes(60));
  EXPECT_EQ(members[0]->attaches, attaches);
  for (const auto& member : members) EXPECT_EQ(phase(*member), Phase::GivenUp);
  EXPECT_EQ(news().size(), 4U) << "nothing but that they were lost";
  EXPECT_EQ(sign(session).rv, CKR_DEVICE_REMOVED);
  CK_SESSION_HANDLE another = 0;
  EXPECT_EQ(
      token->call(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_SERIAL_SESSION}, nullptr, nullptr, &another)),
      CKR_DEVICE_REMOVED);
  CK_TOKEN_INFO info{};
  EXPECT_EQ(token->call(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info)), CKR_DEVICE_REMOVED);
}

TEST_F(VirtualTokenBasic, AMemberThatComesBackInTimeServes) {
  policy.recoveryMode = RecoveryMode::Basic;
  startServing();
  loseInSign(*members[0], {CKR_DEVICE_ERROR});
  members[0]->down.reset();
  scheduler.advance(seconds(60));
  EXPECT_EQ(signers(), (Names{"A", "B", "C"}));
}

TEST_F(VirtualTokenBasic, EnhancedTheSessionWorksAgain) {
  startServing();
  for (const auto& member : members) member->down = Outcome{CKR_DEVICE_ERROR};
  EXPECT_EQ(sign(session).rv, CKR_DEVICE_ERROR);
  scheduler.run();
  for (const auto& member : members) member->down.reset();
  scheduler.advance(seconds(60));
  EXPECT_EQ(signers(), (Names{"A", "B", "C"}));
}

TEST_F(VirtualTokenReconfigure, ACallWaitsNoLongerThanRecoverWait) {
  startServing();
  for (const auto& member : members) member->down = Outcome{CKR_DEVICE_ERROR};
  EXPECT_EQ(sign(session).rv, CKR_DEVICE_ERROR);
  scheduler.run();
  policy.recoverWait = milliseconds(50);
  reconfigure(naming());
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(sign(session).rv, CKR_DEVICE_ERROR);
  EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds(50));
}

TEST_F(VirtualTokenReconfigure, WithRecoverWaitWhoeverCameBackMeanwhileIsAskedAgain) {
  policy.recoverWait = seconds(10);
  startServing();
  for (const auto& member : members) member->down = Outcome{CKR_DEVICE_ERROR};
  // The first two are lost; before the call is lost on the last, they are back.
  std::size_t asked = 0;
  std::string last;
  for (const auto& member : members) {
    member->script = [&, it = member.get()](const Call& made) -> std::optional<Outcome> {
      if (made.fn != Fn::SignInit || ++asked != members.size()) return std::nullopt;
      last = it->serial();
      for (const auto& each : members) {
        if (each.get() != it) each->down.reset();
      }
      scheduler.advance(seconds(60));
      return std::nullopt;
    };
  }
  const Signed made = sign(session);
  scheduler.run();
  EXPECT_EQ(made.rv, CKR_OK);
  EXPECT_NE(made.by, last);
  EXPECT_EQ(lines<halog::Recovered>(), 2U);
}

}  // namespace
}  // namespace p11ha::ha
