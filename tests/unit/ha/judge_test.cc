#include "ha/judge.h"

#include <gtest/gtest.h>

#include "tests/unit/ha/answers.h"

namespace p11ha::ha {

bool operator==(const Judgement& a, const Judgement& b) { return a.next == b.next && a.loss == b.loss; }
void PrintTo(const Judgement& judgement, std::ostream* out) {
  *out << "next " << int(judgement.next) << " loss " << int(judgement.loss);
}

namespace {

using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::Health;
using cryptoki::Outcome;
using cryptoki::Replay;
using test::kAsk;

// One function of each replay class.
constexpr Fn kEach[] = {Fn::SignInit, Fn::Sign, Fn::SignUpdate, Fn::DestroyObject, Fn::GenerateKey, Fn::Login};
constexpr CK_RV kGone[] = {CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED,
                           CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SLOT_ID_INVALID};
constexpr CK_RV kApplication[] = {CKR_OK,
                                  CKR_BUFFER_TOO_SMALL,
                                  CKR_DATA_INVALID,
                                  CKR_PIN_INCORRECT,
                                  CKR_KEY_SIZE_RANGE,
                                  CKR_SIGNATURE_INVALID,
                                  CKR_VENDOR_DEFINED};
constexpr CK_RV kLookAgain[] = {CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_WRAPPING_KEY_HANDLE_INVALID,
                                CKR_UNWRAPPING_KEY_HANDLE_INVALID};
constexpr Health kAlive{true, true, true, {}};
constexpr Health kLoggedOut{true, true, false, {}};
constexpr Health kDead{false, false, false, {CKR_DEVICE_ERROR, Fate::Answered}};

Situation situation(Fn fn, CK_RV rv, Fate fate = Fate::Answered) {
  Situation s;
  s.replay = cryptoki::function(fn).replay;
  s.outcome = {rv, fate};
  return s;
}

constexpr Judgement kAnswer{Next::Answer, Loss::None};
constexpr Judgement dropped(Next next) { return {next, Loss::Dropped}; }

struct LossRow {
  Fn fn;
  Replay replay;
  Next fresh;
  Next stuck;  // of an operation that cannot be begun again
};

// DESIGN.md, "What a member answers, and what is retried": after NotSent, Unknown or gone.
constexpr LossRow kLosses[] = {
    {Fn::SignInit, Replay::Always, Next::NextMember, Next::OperationOver},
    {Fn::GetAttributeValue, Replay::Always, Next::NextMember, Next::OperationOver},
    {Fn::GenerateRandom, Replay::Always, Next::NextMember, Next::OperationOver},
    {Fn::WrapKey, Replay::Always, Next::NextMember, Next::OperationOver},
    {Fn::FindObjectsInit, Replay::Always, Next::NextMember, Next::OperationOver},
    {Fn::Sign, Replay::Reinit, Next::NextMember, Next::OperationOver},
    {Fn::Verify, Replay::Reinit, Next::NextMember, Next::OperationOver},
    {Fn::Decrypt, Replay::Reinit, Next::NextMember, Next::OperationOver},
    {Fn::SignUpdate, Replay::Journal, Next::NextMember, Next::OperationOver},
    {Fn::SignFinal, Replay::Journal, Next::NextMember, Next::OperationOver},
    {Fn::DigestKey, Replay::Journal, Next::NextMember, Next::OperationOver},
    {Fn::DestroyObject, Replay::Idempotent, Next::NextMember, Next::OperationOver},
    {Fn::SetAttributeValue, Replay::Idempotent, Next::NextMember, Next::OperationOver},
    {Fn::GenerateKey, Replay::Create, Next::NextMember, Next::OperationOver},
    {Fn::CreateObject, Replay::Create, Next::NextMember, Next::OperationOver},
    {Fn::UnwrapKey, Replay::Create, Next::NextMember, Next::OperationOver},
    {Fn::Login, Replay::Own, Next::Answer, Next::OperationOver},
};

TEST(Judge, ALostMemberIsDroppedAndTheCallGoesOnAsItsClassAllows) {
  for (const LossRow& row : kLosses) {
    SCOPED_TRACE(cryptoki::function(row.fn).name);
    ASSERT_EQ(cryptoki::function(row.fn).replay, row.replay);
    std::vector<Outcome> losses = {{CKR_DEVICE_ERROR, Fate::NotSent}, {CKR_DEVICE_ERROR, Fate::Unknown}};
    for (const CK_RV rv : kGone) losses.push_back({rv, Fate::Answered});
    for (const Outcome& outcome : losses) {
      Situation s = situation(row.fn, outcome.rv, outcome.fate);
      EXPECT_EQ(judge(s), dropped(row.fresh)) << outcome.rv;
      s.operationStuck = true;
      EXPECT_EQ(judge(s), dropped(row.stuck)) << outcome.rv;
      EXPECT_TRUE(isLoss(outcome));
    }
  }
}

TEST(Judge, WithoutAnAnswerTheCodeSaysNothing) {
  for (const Fate fate : {Fate::NotSent, Fate::Unknown}) {
    for (const CK_RV rv : {CKR_OK, CKR_GENERAL_ERROR, CKR_DATA_INVALID, CKR_USER_NOT_LOGGED_IN}) {
      EXPECT_EQ(judge(situation(Fn::Sign, rv, fate)), dropped(Next::NextMember));
      EXPECT_TRUE(isLoss({rv, fate}));
    }
  }
}

TEST(Judge, TheApplicationsAnswersAreTheApplications) {
  for (const Fn fn : kEach) {
    for (const CK_RV rv : kApplication) {
      Situation s = situation(fn, rv);
      s.loggedIn = s.namesObject = s.operationStuck = s.loginMissed = true;
      EXPECT_EQ(judge(s), kAnswer) << rv;
      EXPECT_FALSE(isLoss(s.outcome));
    }
  }
}

TEST(Judge, DoubtfulAnswersAreProbed) {
  for (const Fn fn : kEach) {
    for (const CK_RV rv : kAsk) {
      Situation s = situation(fn, rv);
      EXPECT_EQ(judge(s), (Judgement{Next::Probe, Loss::None})) << rv;
      EXPECT_FALSE(isLoss(s.outcome));
    }
  }
}

TEST(Judge, ADoubtfulAnswerOfAHealthyMemberIsTheApplications) {
  for (const Fn fn : kEach) {
    for (const CK_RV rv : kAsk) {
      Situation s = situation(fn, rv);
      s.health = kAlive;
      EXPECT_EQ(judge(s), kAnswer) << rv;
    }
  }
}

TEST(Judge, ADoubtfulAnswerOfADeadMemberIsALoss) {
  for (const LossRow& row : kLosses) {
    for (const CK_RV rv : kAsk) {
      Situation s = situation(row.fn, rv);
      s.health = kDead;
      EXPECT_EQ(judge(s), dropped(row.fresh)) << rv;
      s.operationStuck = true;
      EXPECT_EQ(judge(s), dropped(row.stuck)) << rv;
    }
  }
}

// softokn says it of a bad signature, too.
TEST(Judge, OfADeviceErrorAnotherMemberIsAskedWhereTheFirstIsWell) {
  for (const LossRow& row : kLosses) {
    SCOPED_TRACE(cryptoki::function(row.fn).name);
    Situation s = situation(row.fn, CKR_DEVICE_ERROR);
    EXPECT_EQ(judge(s), (Judgement{Next::Probe, Loss::None}));
    EXPECT_TRUE(isLoss(s.outcome)) << "our own input is not bad";
    s.health = kAlive;
    EXPECT_EQ(judge(s), (row.fresh == Next::NextMember ? Judgement{Next::AskAnother, Loss::None} : kAnswer));
    s.operationStuck = true;
    EXPECT_EQ(judge(s), kAnswer);
    s.health = kDead;
    EXPECT_EQ(judge(s), dropped(row.stuck));
    s.operationStuck = false;
    EXPECT_EQ(judge(s), dropped(row.fresh));
  }
}

TEST(Judge, ALostSessionIsOpenedOnceMoreOnTheSameMember) {
  for (const CK_RV rv : {CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED}) {
    for (const LossRow& row : kLosses) {
      Situation s = situation(row.fn, rv);
      EXPECT_EQ(judge(s), (Judgement{Next::Rebind, Loss::None}));
      s.reboundBefore = true;
      EXPECT_EQ(judge(s), dropped(row.fresh));
      EXPECT_TRUE(isLoss(s.outcome));
    }
  }
}

TEST(Judge, AnOperationThatCannotBeBegunAgainIsOverWithItsSession) {
  Situation s = situation(Fn::SignFinal, CKR_SESSION_HANDLE_INVALID);
  s.operationStuck = true;
  EXPECT_EQ(judge(s), (Judgement{Next::OperationOver, Loss::None}));
}

TEST(Judge, AContextLoginFollowsItsOperation) {
  Situation s = situation(Fn::Login, CKR_DEVICE_REMOVED);
  s.replay = Replay::Context;
  EXPECT_EQ(judge(s), dropped(Next::NextMember));
  s.operationStuck = true;
  EXPECT_EQ(judge(s), dropped(Next::OperationOver));
}

TEST(Judge, AnUnknownHandleOfOursIsResolvedOnce) {
  for (const Fn fn : kEach) {
    for (const CK_RV rv : kLookAgain) {
      Situation s = situation(fn, rv);
      EXPECT_EQ(judge(s), kAnswer) << "the call names no object of ours";
      s.namesObject = true;
      EXPECT_EQ(judge(s), (Judgement{Next::Resolve, Loss::None}));
      s.resolvedBefore = true;
      EXPECT_EQ(judge(s), kAnswer);
      EXPECT_FALSE(isLoss(s.outcome));
    }
  }
}

TEST(Judge, NotLoggedInIsTheApplicationsWhileNobodyIs) {
  for (const Fn fn : kEach) EXPECT_EQ(judge(situation(fn, CKR_USER_NOT_LOGGED_IN)), kAnswer);
}

TEST(Judge, AMemberThatMissedTheLoginIsLoggedIn) {
  Situation s = situation(Fn::SignInit, CKR_USER_NOT_LOGGED_IN);
  s.loggedIn = s.loginMissed = true;
  EXPECT_EQ(judge(s), (Judgement{Next::Login, Loss::None}));
}

TEST(Judge, AMemberThatLoggedUsOutIsDeactivatedOnceTheProbeSaysSo) {
  for (const LossRow& row : kLosses) {
    Situation s = situation(row.fn, CKR_USER_NOT_LOGGED_IN);
    s.loggedIn = true;
    EXPECT_EQ(judge(s), (Judgement{Next::Probe, Loss::None}));
    s.health = kLoggedOut;
    EXPECT_EQ(judge(s), (Judgement{row.fresh, Loss::Deactivated}));
    s.health = kDead;
    EXPECT_EQ(judge(s), dropped(row.fresh));
    s.health = kAlive;  // CKA_ALWAYS_AUTHENTICATE
    EXPECT_EQ(judge(s), kAnswer);
    EXPECT_FALSE(isLoss(s.outcome));
  }
}

// A module may meet the end of a login with any error, and the member may be back before it is asked.
TEST(Judge, ADoubtfulAnswerOfAMemberThatLoggedUsOutIsADeactivation) {
  for (const CK_RV rv : {CK_RV{CKR_GENERAL_ERROR}, CK_RV{CKR_FUNCTION_FAILED}, CK_RV{CKR_DEVICE_ERROR}}) {
    Situation s = situation(Fn::GetAttributeValue, rv);
    s.loggedIn = true;
    s.health = kLoggedOut;
    EXPECT_EQ(judge(s), (Judgement{Next::NextMember, Loss::Deactivated}));
    s.loginMissed = true;
    EXPECT_NE(judge(s).loss, Loss::Deactivated);
  }
}

TEST(Judge, AMemberWithoutASessionOfOursSaysNothingOfTheLogin) {
  Situation s = situation(Fn::GenerateRandom, CKR_DEVICE_ERROR);
  s.loggedIn = true;
  s.health = kLoggedOut;
  s.health->sessionValid = false;
  EXPECT_EQ(judge(s), (Judgement{Next::AskAnother, Loss::None}));
}

TEST(Judge, WhatAMemberSaysThatWasLostMeanwhileIsNobodysAnswer) {
  for (const CK_RV rv : {CK_RV{CKR_USER_NOT_LOGGED_IN}, CK_RV{CKR_GENERAL_ERROR}, CK_RV{CKR_DEVICE_ERROR}}) {
    Situation s = situation(Fn::Sign, rv);
    s.loggedIn = true;
    s.lostMeanwhile = true;
    s.health = kAlive;
    EXPECT_EQ(judge(s).next, Next::NextMember);
  }
}

TEST(Judge, ACallThatEndedTwoMembersIsNotSentToAThird) {
  for (const LossRow& row : kLosses) {
    Situation s = situation(row.fn, CKR_DEVICE_ERROR, Fate::Unknown);
    EXPECT_EQ(judge(s), dropped(row.fresh));
    s.unknownLosses = 1;
    EXPECT_EQ(judge(s), dropped(Next::Poisoned));
  }
}

TEST(Judge, OnlyUnknownFatesPoison) {
  for (const Fate fate : {Fate::NotSent, Fate::Answered}) {
    Situation s = situation(Fn::Sign, CKR_DEVICE_REMOVED, fate);
    s.unknownLosses = 1;
    EXPECT_EQ(judge(s), dropped(Next::NextMember));
  }
}

}  // namespace
}  // namespace p11ha::ha
