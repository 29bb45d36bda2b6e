// What a group says of itself.
#include "ha/status.h"

#include "tests/unit/ha/answers.h"
#include "tests/unit/ha/virtual_token_fixture.h"

namespace p11ha::ha {
namespace {

using cryptoki::Fate;
using std::chrono::seconds;
using test::Fn;
using test::makeCall;
using test::Outcome;
using test::ScriptedMember;

class Status : public test::VirtualTokenTest {
 protected:
  MemberStatus of(const ScriptedMember& member) const { return token->status().members.at(indexOf(member)); }
  std::string state(const ScriptedMember& member) const { return std::string(stateName(of(member))); }
  std::vector<std::uint64_t> calls() const {
    std::vector<std::uint64_t> all;
    for (const MemberStatus& member : token->status().members) all.push_back(member.calls);
    return all;
  }
  std::vector<std::uint64_t> failovers() const {
    std::vector<std::uint64_t> all;
    for (const MemberStatus& member : token->status().members) all.push_back(member.failovers);
    return all;
  }
};

TEST_F(Status, NamesTheGroupAndWhoServes) {
  start({2});
  const GroupStatus status = token->status();
  EXPECT_EQ(status.label, "group");
  EXPECT_EQ(status.serial, "1154438865287");
  EXPECT_FALSE(status.allLostSince);
  ASSERT_EQ(status.members.size(), 3U);
  std::string said;
  for (const MemberStatus& member : status.members) {
    said += member.serial + ' ' + std::string(stateName(member)) + (member.serves ? " serves; " : "; ");
    EXPECT_EQ(member.state.since, clock.now());
    EXPECT_EQ(member.state.cause, Cause::None);
  }
  EXPECT_EQ(said, "A active serves; B active serves; C standby; ");
}

TEST_F(Status, TellsTheLifeOfAMember) {
  policy.recovery = {2, seconds(60)};
  startServing();
  ScriptedMember& failing = *members[0];
  clock.advance(seconds(7));
  const base::Monotonic lost = clock.now();
  loseInSign(failing, {CKR_DEVICE_ERROR});
  MemberStatus now = of(failing);
  EXPECT_EQ(state(failing), "down");
  EXPECT_FALSE(now.serves);
  EXPECT_EQ(causeName(now.state.cause), "dropped");
  EXPECT_EQ(now.state.lastError, CKR_DEVICE_ERROR);
  EXPECT_EQ(now.state.since, lost);
  EXPECT_EQ(now.state.attempts, 0U);
  EXPECT_EQ(now.state.nextAttempt, lost + seconds(60));

  workers.queueing = true;
  scheduler.advance(seconds(60));
  EXPECT_EQ(state(failing), "recovering");
  EXPECT_EQ(of(failing).state.nextAttempt, std::nullopt);
  workers.queueing = false;
  workers.runQueued();
  scheduler.run();
  EXPECT_EQ(state(failing), "down");
  EXPECT_EQ(of(failing).state.attempts, 1U);

  scheduler.advance(seconds(60));
  EXPECT_EQ(state(failing), "given up");
  failing.down.reset();
  token->recoverNow(0);
  scheduler.run();
  now = of(failing);
  EXPECT_EQ(state(failing), "active");
  EXPECT_TRUE(now.serves);
  EXPECT_EQ(now.state.since, clock.now());
}

TEST_F(Status, SaysSinceWhenAllAreLostAndThatAStandbyMemberServes) {
  startServing({2});
  loseInSign(*members[0], {CKR_DEVICE_ERROR});
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  EXPECT_TRUE(of(*members[2]).serves);
  EXPECT_EQ(state(*members[2]), "standby");
  EXPECT_FALSE(token->status().allLostSince);

  clock.advance(seconds(3));
  const base::Monotonic last = clock.now();
  members[2]->down = Outcome{CKR_DEVICE_ERROR};
  EXPECT_EQ(sign(session).rv, CKR_DEVICE_ERROR);
  scheduler.run();
  EXPECT_EQ(token->status().allLostSince, last);
  for (const auto& member : members) member->down.reset();
  scheduler.advance(seconds(60));
  EXPECT_FALSE(token->status().allLostSince);
}

TEST_F(Status, CountsTheCallsOfSessionsThatAreThereAndThatWere) {
  startServing();
  const std::vector<std::uint64_t> counted = calls();
  const auto made = [&] {
    std::vector<std::uint64_t> all;
    for (const auto& member : members) all.push_back(member->count(Fn::SignInit) + member->count(Fn::Sign));
    return all;
  };
  const std::vector<std::uint64_t> signedBefore = made();
  const auto expectCounted = [&] {
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(calls()[i] - counted[i], made()[i] - signedBefore[i]) << i;
  };
  const CK_SESSION_HANDLE another = open();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(sign(session).rv, CKR_OK);
    EXPECT_EQ(sign(another).rv, CKR_OK);
  }
  expectCounted();
  EXPECT_EQ(token->closeSession(another), CKR_OK);
  expectCounted();
  // The memory of the closed session is used again.
  EXPECT_EQ(sign(open()).rv, CKR_OK);
  expectCounted();
  for (const MemberStatus& member : token->status().members) EXPECT_EQ(member.outstanding, 0);
}

TEST_F(Status, CountsTheCallThatRuns) {
  startServing();
  long seen = -1;
  for (const auto& member : members) {
    member->script = [&](const test::Call& call) -> std::optional<Outcome> {
      if (call.fn == Fn::Sign) seen = of(*member).outstanding;
      return std::nullopt;
    };
  }
  EXPECT_EQ(sign(session).rv, CKR_OK);
  EXPECT_EQ(seen, 1);
  for (const auto& member : members) member->script = nullptr;
}

TEST_F(Status, CountsTheCallsThatWentOnElsewhere) {
  startServing();
  EXPECT_EQ(failovers(), (std::vector<std::uint64_t>{0, 0, 0}));
  loseInSign(*members[1], {CKR_DEVICE_ERROR});
  EXPECT_EQ(failovers(), (std::vector<std::uint64_t>{0, 1, 0}));
  // A refusal that is the application's own is none.
  EXPECT_EQ(call(session, makeCall<Fn::Sign>(session, nullptr, CK_ULONG{0}, nullptr, nullptr)),
            CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(failovers(), (std::vector<std::uint64_t>{0, 1, 0}));
}

TEST_F(Status, IsToldOfWhenItChanges) {
  std::vector<MemberSpec> specs;
  for (const auto& member : members) specs.push_back({member, false});
  std::size_t told = 0;
  Ports ports{clock, scheduler, workers, log, sessions};
  ports.changed = [&told] { ++told; };
  token = std::make_unique<VirtualToken>(CK_SLOT_ID{0}, Face::Group, policy, std::move(specs), ports);
  token->start();
  EXPECT_EQ(told, 1U);
  scheduler.run();
  session = open();
  EXPECT_EQ(login(session), CKR_OK);
  key = findKey(session);
  told = 0;
  EXPECT_EQ(signers().size(), 3U);
  EXPECT_EQ(told, 0U);
  loseInSign(*members[0], {CKR_DEVICE_ERROR});
  EXPECT_EQ(told, 1U);
}

TEST(StatusNames, AreAllDifferent) {
  std::set<std::string_view> names;
  for (const Cause cause : {Cause::None, Cause::Unreachable, Cause::Dropped, Cause::NotActivated, Cause::Deactivated,
                            Cause::Revoked, Cause::LoginRefused, Cause::Replaced, Cause::Unfit}) {
    EXPECT_TRUE(names.insert(causeName(cause)).second);
    EXPECT_EQ(causeName(cause).empty(), cause == Cause::None);
  }
}

}  // namespace
}  // namespace p11ha::ha
