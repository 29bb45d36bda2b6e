#include "ha/judge.h"

namespace p11ha::ha {

using cryptoki::Fate;
using cryptoki::Replay;
using cryptoki::RvClass;

namespace {

// A call that ended two members is not sent to a third.
constexpr unsigned kPoison = 2;

Next afterLoss(const Situation& s) {
  if (s.outcome.fate == Fate::Unknown && s.unknownLosses + 1 >= kPoison) return Next::Poisoned;
  if (s.operationStuck) return Next::OperationOver;
  return s.replay == Replay::Own ? Next::Answer : Next::NextMember;
}

Judgement lost(const Situation& s, Loss loss) { return {afterLoss(s), loss}; }

// Its login ended under the call, which some modules (SoftHSM) meet with any error at all. Without a session of ours
// there is none that could tell.
bool isDeactivated(const Situation& s) {
  return s.loggedIn && !s.loginMissed && s.health->sessionValid && !s.health->userLoggedIn;
}

}  // namespace

bool isLoss(const cryptoki::Outcome& outcome) {
  if (outcome.fate != Fate::Answered) return true;
  const RvClass rvClass = cryptoki::classify(outcome.rv);
  return rvClass == RvClass::Gone || rvClass == RvClass::SessionGone || rvClass == RvClass::Suspect;
}

Judgement judge(const Situation& s) {
  if (s.outcome.fate != Fate::Answered) return lost(s, Loss::Dropped);
  switch (cryptoki::classify(s.outcome.rv)) {
    case RvClass::Application:
      return {};
    case RvClass::Gone:
      return lost(s, Loss::Dropped);
    case RvClass::SessionGone:
      if (s.reboundBefore) return lost(s, Loss::Dropped);
      // The operation went with the session.
      return s.operationStuck ? Judgement{Next::OperationOver, Loss::None} : Judgement{Next::Rebind, Loss::None};
    case RvClass::LookAgain:
      return s.namesObject && !s.resolvedBefore ? Judgement{Next::Resolve, Loss::None} : Judgement{};
    case RvClass::NotLoggedIn:
      if (s.loginMissed) return {Next::Login, Loss::None};
      if (!s.loggedIn) return {};
      if (!s.health) return {Next::Probe, Loss::None};
      if (!s.health->alive) return lost(s, Loss::Dropped);
      // Still logged in: the key wants its own authentication (CKA_ALWAYS_AUTHENTICATE), or the call is the SO's.
      return s.health->userLoggedIn && !s.lostMeanwhile ? Judgement{} : lost(s, Loss::Deactivated);
    case RvClass::Ask:
      if (!s.health) return {Next::Probe, Loss::None};
      if (!s.health->alive) return lost(s, Loss::Dropped);
      return isDeactivated(s) || s.lostMeanwhile ? lost(s, Loss::Deactivated) : Judgement{};
    case RvClass::Suspect:
      if (!s.health) return {Next::Probe, Loss::None};
      if (!s.health->alive) return lost(s, Loss::Dropped);
      if (isDeactivated(s) || s.lostMeanwhile) return lost(s, Loss::Deactivated);
      return s.operationStuck || s.replay == Replay::Own ? Judgement{} : Judgement{Next::AskAnother, Loss::None};
  }
  return {};
}

}  // namespace p11ha::ha
