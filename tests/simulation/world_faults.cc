// What happens to members, and meanwhile.
#include "tests/simulation/world.h"

namespace p11ha::simulation {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::Outcome;
using ha::Phase;
using tests::ScriptedMember;

// Each call on a member passes here.
std::optional<Outcome> World::meet(unsigned index, const Call& call) {
  Fault& fault = faults_[index];
  ScriptedMember& member = *members_[index];
  if (story_ != nullptr) {
    const auto answered = member.down ? *member.down : Outcome{};
    tell(member.serial(), ": ", cryptoki::function(call.fn).name, member.down ? " while down: " : "",
         member.down ? cryptoki::returnCodeName(answered.rv) : "", fault.deactivated ? " (deactivated)" : "");
  }
  if (call.fn == Fn::OpenSession && token_ && phase(index) == Phase::Recovering) fault.known = fault.injuries;
  if (quiet_ || member.down) return std::nullopt;
  // A member that is lost before what it has just made could be read leaves an object that is not known again:
  // likewise.
  if (creating_ && call.fn != Fn::CreateObject) return std::nullopt;
  if (fault.deactivated && call.fn == Fn::Login) return Outcome{CKR_USER_PIN_NOT_INITIALIZED};
  if (fault.callsLeft != 0 && --fault.callsLeft == 0) {
    // What becomes of objects whose making or end nobody heard of is not decided here: that takes records of them.
    if (fault.afterEffect && call.fn != Fn::CreateObject && call.fn != Fn::DestroyObject) {
      const ScriptedMember::Script script = std::move(member.script);
      member.script = {};
      member.execute(call);
      member.script = script;
    }
    const Outcome outcome = fault.outcome;
    become(index, outcome);
    return outcome;
  }
  meanwhile(call);
  // What happened meanwhile may have been its end.
  return std::nullopt;
}

// While the application's call is in a member, others are at work.
void World::meanwhile(const Call& call) {
  // Not under what p11ha itself signs, to know a key by: it holds a lock meanwhile.
  const bool isData = call.fn == Fn::Sign || call.fn == Fn::SignUpdate;
  const bool own = isData && std::string(call.get<const char*>(1), call.get<CK_ULONG>(2)).starts_with(kOurs);
  if (depth_ == 0 || depth_ > 2 || !own) return;
  switch (random_.below(24)) {
    case 0:
      scheduler_.runOne();
      return;
    case 1:
      while (scheduler_.runOne()) {
      }
      return;
    case 2:
      if (workers_.queued() != 0) workers_.runQueued(random_.below(workers_.queued()));
      return;
    case 3:
      if (Client* const other = idleClient()) signs(*other, random_.oneIn(3));
      return;
    case 4:
      injure();
      return;
    default:
      return;
  }
}

// What was done to it before it began to recover is done with.
void World::recovered(const std::string& serial) {
  for (unsigned i = 0; i < members_.size(); ++i) {
    const Fault& fault = faults_[i];
    if (members_[i]->serial() == serial)
      faults_[i].sound = fault.injuries == fault.known && !fault.deactivated && members_[i]->pin == kPin;
  }
}

void World::injured(unsigned index) {
  tell("-- member ", members_[index]->serial(), " is harmed");
  faults_[index].sound = false;
  ++faults_[index].injuries;
}

void World::become(unsigned index, const Outcome& outcome) {
  Fault& fault = faults_[index];
  injured(index);
  fault.callsLeft = 0;
  tell("-- it answers ", cryptoki::returnCodeName(outcome.rv), ", fate ", static_cast<int>(outcome.fate));
  members_[index]->down = outcome;
  members_[index]->attachRv = outcome.rv;
}

void World::injure() {
  const auto index = static_cast<unsigned>(random_.below(members_.size()));
  Fault& fault = faults_[index];
  ScriptedMember& member = *members_[index];
  const Outcome outcomes[] = {{CKR_DEVICE_ERROR, Fate::Unknown},
                              {CKR_DEVICE_ERROR, Fate::NotSent},
                              {CKR_DEVICE_REMOVED, Fate::Answered},
                              {CKR_TOKEN_NOT_PRESENT, Fate::Answered},
                              {CKR_GENERAL_ERROR, Fate::Answered}};
  const Outcome outcome = outcomes[random_.below(std::size(outcomes))];
  switch (random_.below(9)) {
    case 0:
      return become(index, outcome);
    case 8:
      member.stands = cryptoki::Standing::Revoked;
      return become(index, {CKR_TOKEN_NOT_PRESENT, Fate::Answered});
    case 1:
      // Restarted, and nobody has noticed.
      injured(index);
      member.restart();
      return;
    case 2:
      injured(index);
      fault.deactivated = true;
      member.deactivate();
      return;
    case 3:
      if (!random_.oneIn(4)) return;
      injured(index);
      member.pin = "another";
      return;
    case 4:
      if (!member.down || !random_.oneIn(4)) return;
      member.attachRv = CKR_TOKEN_NOT_RECOGNIZED;
      return;
    default:
      fault.callsLeft = static_cast<unsigned>(1 + random_.below(12));
      fault.afterEffect = outcome.fate == Fate::Unknown && random_.oneIn(2);
      fault.outcome = outcome;
      return;
  }
}

void World::mend(unsigned index) {
  tell("-- member ", members_[index]->serial(), " is mended");
  Fault& fault = faults_[index];
  ScriptedMember& member = *members_[index];
  if (member.down) {
    member.restart();
    if (random_.oneIn(2)) member.renumber();
  }
  member.down.reset();
  member.attachRv = CKR_OK;
  member.stands = cryptoki::Standing::Active;
  member.pin = kPin;
  fault.deactivated = false;
  fault.callsLeft = 0;
}

}  // namespace p11ha::simulation
