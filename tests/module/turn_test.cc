// One resync at a time: what a turn on a token keeps out, and what it does not wait for.
#include "ha/turn.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "ha/inventory.h"
#include "ha/notes/note.h"
#include "tests/module/domain_fixture.h"

namespace p11ha::tests::turns {
namespace {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using ha::Turn;
using std::chrono_literals::operator""ms;

// One that has come.
class Taken : public Turn {
 public:
  Taken(cryptoki::Member& member, CK_SESSION_HANDLE session, std::uint64_t owner, const Patience& patience,
        const Meanwhile& meanwhile = {})
      : Turn(member, session, owner, patience) {
    draw(enter() + 1);
    wait(meanwhile);
  }
};

class TurnTest : public DomainTest {
 protected:
  void SetUp() override { ASSERT_EQ(members[0]->attach(), CKR_OK); }
  CK_SESSION_HANDLE open() {
    CK_SESSION_HANDLE session = 0;
    EXPECT_EQ(members[0]
                  ->execute(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_SERIAL_SESSION | CKF_RW_SESSION},
                                                      nullptr, nullptr, &session))
                  .rv,
              CKR_OK);
    return session;
  }
  std::size_t claims(CK_SESSION_HANDLE session) { return list(session).size(); }
  std::vector<CK_OBJECT_HANDLE> list(CK_SESSION_HANDLE session) {
    cryptoki::Template query;
    query.addBytes(CKA_LABEL, {reinterpret_cast<const std::uint8_t*>(Turn::kLabel.data()), Turn::kLabel.size()});
    std::vector<CK_OBJECT_HANDLE> found;
    EXPECT_EQ(ha::listObjects(*members[0], session, query, found).rv, CKR_OK);
    std::sort(found.begin(), found.end());
    return found;
  }
  void plant(CK_SESSION_HANDLE session, const std::string& value) {
    cryptoki::Template wanted;
    const auto text = [](std::string_view from) {
      return std::span(reinterpret_cast<const std::uint8_t*>(from.data()), from.size());
    };
    wanted.addUlong(CKA_CLASS, CKO_DATA);
    wanted.addBool(CKA_TOKEN, true);
    wanted.addBool(CKA_PRIVATE, false);
    wanted.addBytes(CKA_APPLICATION, text(ha::notes::kApplication));
    wanted.addBytes(CKA_LABEL, text(Turn::kLabel));
    wanted.addBytes(CKA_VALUE, text(value));
    CK_OBJECT_HANDLE made = 0;
    ASSERT_EQ(members[0]->execute(makeCall<Fn::CreateObject>(session, wanted.data(), wanted.count(), &made)).rv,
              CKR_OK);
  }
};

TEST_F(TurnTest, IsOneThreadsAtATime) {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const CK_SESSION_HANDLE session = open();
      const std::uint64_t own = Turn::drawOwner();
      for (int round = 0; round < 10; ++round) {
        const Taken turn(*members[0], session, own, {1ms, 600'000ms});
        most = std::max(most.load(), ++inside);
        std::this_thread::yield();
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most, 1);
  EXPECT_EQ(claims(open()), 0U) << "nothing is left";
}

TEST_F(TurnTest, OneWhoseOwnerHasDiedIsOvercome) {
  const CK_SESSION_HANDLE session = open();
  plant(session, "1 77 0");
  plant(session, "0 78 0");
  plant(session, "no claim");
  {
    const Taken turn(*members[0], session, Turn::drawOwner(), {1ms, 50ms});
    EXPECT_EQ(claims(session), 3U) << "the own two, and what is none";
  }
  EXPECT_EQ(claims(session), 1U);
}

TEST_F(TurnTest, WhatTheSameOwnerHasLeftIsNotWaitedFor) {
  const CK_SESSION_HANDLE session = open();
  plant(session, "1 77 0");
  plant(session, "0 77 5");
  {
    const Taken turn(*members[0], session, 77, {1ms, 600'000ms});
    EXPECT_EQ(claims(session), 2U);
  }
  EXPECT_EQ(claims(session), 0U);
}

// A search that takes its list before and reads it afterwards finds one of the two.
TEST_F(TurnTest, WhatARenewalReplacesStandsUntilTheNext) {
  const CK_SESSION_HANDLE session = open();
  {
    Taken turn(*members[0], session, Turn::drawOwner(), {1ms, 5ms});
    std::vector<CK_OBJECT_HANDLE> before = list(session);
    for (int i = 0; i < 3; ++i) {
      do {
        EXPECT_TRUE(turn.renew());
      } while (list(session) == before);
      const std::vector<CK_OBJECT_HANDLE> after = list(session);
      EXPECT_EQ(after.size(), 2U);
      EXPECT_NE(std::find(before.begin(), before.end(), after.front()), before.end());
      before = after;
    }
  }
  EXPECT_EQ(claims(session), 0U);
}

TEST_F(TurnTest, WhoWaitsNoLongerHasNoTurnAndLeavesNoClaim) {
  const CK_SESSION_HANDLE session = open();
  plant(session, "1 77 0");
  const Taken turn(*members[0], session, Turn::drawOwner(), {1ms, 600'000ms},
                   [](std::chrono::nanoseconds waited) { return waited < 3ms; });
  EXPECT_FALSE(turn.isOurs());
  EXPECT_EQ(claims(session), 1U);
}

TEST_F(TurnTest, OneThatIsRenewedIsWaitedFor) {
  const CK_SESSION_HANDLE session = open();
  std::atomic<bool> over{false};
  std::thread other;
  {
    Taken turn(*members[0], session, Turn::drawOwner(), {1ms, 50ms});
    std::atomic<bool> begun{false};
    other = std::thread([&] {
      const CK_SESSION_HANDLE own = open();
      begun = true;
      const Taken next(*members[0], own, Turn::drawOwner(), {1ms, 1000ms});
      EXPECT_TRUE(over) << "it did not wait";
    });
    const auto until = std::chrono::steady_clock::now() + 2500ms;
    while (!begun || std::chrono::steady_clock::now() < until) {
      EXPECT_TRUE(turn.renew());
      std::this_thread::sleep_for(10ms);
    }
    over = true;
  }
  other.join();
}

// As SoftHSM answers now and then while others are at work.
TEST_F(TurnTest, AMemberThatCannotJustNowIsAskedAgain) {
  const CK_SESSION_HANDLE session = open();
  plant(session, "1 77 0");
  std::size_t calls = 0;
  members[0]->intercept = [&](cryptoki::Member&, const Call& call) -> std::optional<Outcome> {
    const bool refused = (call.fn == Fn::CreateObject || call.fn == Fn::FindObjectsInit) && ++calls % 2 == 1;
    return refused ? std::optional(Outcome{CKR_GENERAL_ERROR}) : std::nullopt;
  };
  {
    const Taken turn(*members[0], session, Turn::drawOwner(), {1ms, 50ms});
    members[0]->intercept = nullptr;
    EXPECT_EQ(claims(session), 2U) << "the own two; that of the other was seen, waited for and taken away";
  }
  EXPECT_GE(calls, 8U);
  EXPECT_EQ(claims(session), 0U);
}

TEST_F(TurnTest, AMemberThatTakesNoneLetsEverybodyIn) {
  const CK_SESSION_HANDLE session = open();
  members[0]->intercept = [](cryptoki::Member&, const Call& call) -> std::optional<Outcome> {
    if (call.fn != Fn::CreateObject) return std::nullopt;
    return Outcome{CKR_ATTRIBUTE_TYPE_INVALID};
  };
  Taken one(*members[0], session, Turn::drawOwner(), {1ms, 600'000ms});
  const Taken two(*members[0], session, Turn::drawOwner(), {1ms, 600'000ms});
  EXPECT_TRUE(one.renew());
  EXPECT_TRUE(two.isOurs());
  EXPECT_EQ(claims(session), 0U);
}

TEST_F(TurnTest, AMemberThatDoesNotSayLetsNobodyIn) {
  const CK_SESSION_HANDLE session = open();
  for (const Fn lost : {Fn::CreateObject, Fn::FindObjectsInit, Fn::GetAttributeValue}) {
    members[0]->intercept = [&](cryptoki::Member&, const Call& call) -> std::optional<Outcome> {
      return call.fn == lost ? std::optional(Outcome{CKR_DEVICE_REMOVED}) : std::nullopt;
    };
    const Taken turn(*members[0], session, 77, {1ms, 50ms});
    EXPECT_FALSE(turn.isOurs()) << static_cast<int>(lost);
  }
  members[0]->intercept = nullptr;
  EXPECT_TRUE(Taken(*members[0], session, 77, {1ms, 50ms}).isOurs()) << "what was left is its own";
  EXPECT_EQ(claims(session), 0U);
}

TEST_F(TurnTest, OneThatWasTakenForDeadIsOver) {
  const CK_SESSION_HANDLE session = open();
  Taken stopped(*members[0], session, Turn::drawOwner(), {1ms, 50ms});
  const CK_SESSION_HANDLE other = open();
  {
    const Taken next(*members[0], other, Turn::drawOwner(), {1ms, 50ms});
    EXPECT_TRUE(next.isOurs());
    EXPECT_FALSE(stopped.renew());
    EXPECT_FALSE(stopped.isOurs());
  }
  EXPECT_EQ(claims(session), 0U);
}

// The one before it is at work for longer than the one after it has patience.
TEST_F(TurnTest, OneThatWaitsShowsThatItIsAlive) {
  const CK_SESSION_HANDLE session = open();
  std::optional<Taken> first;
  first.emplace(*members[0], session, Turn::drawOwner(), Turn::Patience{1ms, 1000ms});
  std::atomic<int> order{0};
  std::atomic<int> waits{0};
  const auto follow = [&](int expected) {
    const CK_SESSION_HANDLE own = open();
    bool hasWaited = false;
    const Taken turn(*members[0], own, Turn::drawOwner(), {1ms, 1000ms}, [&](std::chrono::nanoseconds) {
      if (!std::exchange(hasWaited, true)) ++waits;
      return true;
    });
    EXPECT_EQ(++order, expected);
  };
  std::thread second(follow, 1);
  while (waits < 1) first->renew();
  std::thread third(follow, 2);
  const auto until = std::chrono::steady_clock::now() + 2500ms;
  while (waits < 2 || std::chrono::steady_clock::now() < until) {
    EXPECT_TRUE(first->renew());
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(order, 0);
  first.reset();
  second.join();
  third.join();
}

TEST(TurnClaim, IsReadAsItWasWrittenAndNothingElseIs) {
  const Turn::Claim claim{3, ~std::uint64_t{0}, 12};
  const auto parse = [](std::string_view text) {
    return Turn::Claim::parse({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  };
  EXPECT_EQ(parse(claim.text()), claim);
  for (const char* wrong :
       {"", " ", "1", "1 2", "1 2 ", "1 2 3 ", "1 2 3 4", "1  2 3", "-1 2 3", "x 2 3", "1 2 18446744073709551616"})
    EXPECT_FALSE(parse(wrong)) << wrong;
}

}  // namespace
}  // namespace p11ha::tests::turns
