#include "ha/domain/domain.h"

#include <algorithm>
#include <memory>

#include "cryptoki/return_codes.h"
#include "ha/domain/admission.h"
#include "ha/domain/hand_over.h"
#include "ha/domain/key_template.h"
#include "ha/domain/token_session.h"

namespace p11ha::ha::domain {

using base::SecureBytes;
using cryptoki::Outcome;

namespace {

bool isRefusedPin(const Outcome& outcome) {
  return outcome.rv == CKR_PIN_INCORRECT || outcome.rv == CKR_PIN_LOCKED || outcome.rv == CKR_PIN_LEN_RANGE ||
         outcome.rv == CKR_PIN_INVALID;
}

// A key on its way to a member.
struct Parcel {
  Kind kind;
  SecureBytes handedOver;
};

// A candidate as the work goes on.
struct Participant {
  Participant(const Candidate& who, MemberReport& what) : candidate(who), report(what), session(who.member) {}

  const Candidate& candidate;
  MemberReport& report;
  TokenSession session;  // before the pair: it ends last
  std::optional<HandOverPair> pair;
  std::vector<Parcel> parcels;

  bool takes(const Kind& kind) const {
    return report.part == Part::Full || (report.part == Part::OpenOnly && kind.seal == Seal::Open);
  }
  std::string words(const Problem& problem) const { return "member " + report.serial + ": " + problem.text; }
};

class Joining {
 public:
  Joining(std::span<const Candidate> candidates, const JoinOptions& options, bool afterRemoval,
          const Progress& progress)
      : options_(options), afterRemoval_(afterRemoval), progress_(progress) {
    report_.members.resize(candidates.size());
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      report_.members[i].serial = candidates[i].member.serial();
      participants_.push_back(std::make_unique<Participant>(candidates[i], report_.members[i]));
    }
  }

  Report run() {
    if (!inspect()) return notDone();
    if (!options_.renew && alreadyDone(false)) return std::move(report_);
    if (!examineAll()) return notDone();
    if (!options_.renew && alreadyDone(true)) return std::move(report_);
    if (!prepare()) return notDone();
    if (options_.plan) {
      report_.result = Report::Result::Planned;
      return std::move(report_);
    }
    if (!handOverAll() || !rehearse()) return notDone();
    makeForGood();
    return std::move(report_);
  }

  Report status() {
    const bool inspected = inspect();
    report_.result = inspected ? Report::Result::AlreadyDone : Report::Result::NotDone;
    for (const auto& participant : participants_) {
      MemberReport& member = participant->report;
      for (const Generation& generation : member.holding.generations()) {
        if (!report_.generation || *report_.generation < generation) report_.generation = generation;
      }
    }
    for (const auto& participant : participants_) {
      MemberReport& member = participant->report;
      if (!report_.generation || !member.reason.empty()) continue;
      const bool sealed = member.holding.complete(*report_.generation, Seal::Sealed);
      const bool open = member.holding.complete(*report_.generation, Seal::Open);
      // Nobody sees open keys who is not logged in.
      member.joined = sealed && (open || participant->candidate.userPin == nullptr);
      member.part = sealed ? Part::Full : open ? Part::OpenOnly : Part::LeftOut;
    }
    return std::move(report_);
  }

 private:
  Report notDone() {
    report_.result = Report::Result::NotDone;
    return std::move(report_);
  }
  bool fail(const std::string& problem) {
    report_.problem = problem;
    return false;
  }
  void tell(const Participant& participant, const std::string& step) const {
    if (progress_) progress_(participant.report.serial, step);
  }
  static void leaveOut(Participant& participant, std::string reason) {
    participant.report.part = Part::LeftOut;
    participant.report.reason = std::move(reason);
  }
  // False: a PIN was refused, and may be given to nobody else.
  bool logIn(Participant& participant, CK_USER_TYPE user, const SecureBytes& pin, Outcome& outcome) {
    outcome = participant.session.login(user, pin);
    if (!isRefusedPin(outcome)) return true;
    report_.refusal = {participant.report.serial, user, outcome.rv};
    return fail("member " + participant.report.serial + ": the PIN of " +
                (user == CKU_SO ? "the Security Officer" : "the user") + " is refused (" +
                cryptoki::returnCodeName(outcome.rv) + "); no other member was asked");
  }

  // What everybody holds.
  bool inspect() {
    for (const auto& each : participants_) {
      Participant& participant = *each;
      tell(participant, "reading");
      if (const Outcome opened = participant.session.open(); opened.rv != CKR_OK) {
        std::string why = participant.candidate.member.problem();
        leaveOut(participant,
                 !why.empty() ? std::move(why) : "it cannot be reached (" + cryptoki::returnCodeName(opened.rv) + ")");
        continue;
      }
      if (participant.candidate.userPin != nullptr) {
        Outcome outcome;
        if (!logIn(participant, CKU_USER, *participant.candidate.userPin, outcome)) return false;
        if (outcome.rv != CKR_OK) {
          leaveOut(participant, answered("the user's C_Login", outcome).text);
          continue;
        }
      }
      const Outcome read = readHolding(participant.session.token(), participant.report.holding);
      if (read.rv != CKR_OK) {
        leaveOut(participant, answered("the search for domain keys", read).text);
        continue;
      }
    }
    return true;
  }

  // Before the tokens are examined: does everybody hold one generation whole, and nobody a newer one? Thereafter: those
  // that take part, as far as they do.
  bool alreadyDone(bool examined) {
    std::optional<Generation> newest;
    for (const auto& participant : participants_) {
      const MemberReport& member = participant->report;
      if (examined && member.part == Part::LeftOut) continue;
      const auto held = member.holding.generations();
      if (!member.reason.empty() && !examined) return false;
      if (held.empty() || (newest && held.front() != *newest)) return false;
      newest = held.front();
      const bool whole = examined && member.part == Part::OpenOnly ? member.holding.complete(*newest, Seal::Open)
                                                                   : member.holding.complete(*newest);
      if (!whole) return false;
    }
    if (!newest) return false;
    for (const auto& participant : participants_) {
      MemberReport& member = participant->report;
      if (!examined) member.part = Part::Full;
      member.joined = member.part != Part::LeftOut;
    }
    report_.generation = newest;
    report_.result = Report::Result::AlreadyDone;
    return true;
  }

  bool examineAll() {
    for (const auto& each : participants_) {
      Participant& participant = *each;
      if (!participant.report.reason.empty()) continue;
      if (participant.candidate.userPin == nullptr) {
        leaveOut(participant, "the user's PIN is not at hand");
        continue;
      }
      tell(participant, "examining");
      Admission admission =
          examine(participant.session, *participant.candidate.userPin, participant.candidate.officerPin);
      participant.report.letThrough = std::move(admission.letThrough);
      participant.report.reason = std::move(admission.obstacle);
      if (isRefusedPin(admission.outcome)) {
        // The user's was taken before.
        report_.refusal = {participant.report.serial, CKU_SO, admission.outcome.rv};
        return fail("member " + participant.report.serial + ": " + participant.report.reason +
                    "; no other member was asked");
      }
      switch (admission.verdict) {
        case Admission::Verdict::Admitted:
          participant.report.part = Part::Full;
          break;
        case Admission::Verdict::OpenOnly:
          participant.report.part = Part::OpenOnly;
          if (participant.report.reason.empty()) participant.report.reason = "it would not keep sealed keys safe";
          break;
        case Admission::Verdict::Refused:
          participant.report.part = Part::LeftOut;
          break;
      }
    }
    return true;
  }

  // Who makes the keys, and what they will be called.
  bool prepare() {
    for (const auto& participant : participants_) {
      if (participant->report.part == Part::LeftOut) continue;
      const bool better =
          maker_ == nullptr || (maker_->report.part == Part::OpenOnly && participant->report.part == Part::Full);
      if (better) maker_ = participant.get();
    }
    if (maker_ == nullptr) return fail("no member can take part");
    std::uint32_t last = 0;
    for (const auto& participant : participants_) {
      for (const HeldKey& key : participant->report.holding.keys) {
        // What a holder of the user PIN can plant does not tell where to go on, where there is better.
        if (full() && key.kind.seal == Seal::Open) continue;
        last = std::max(last, key.generation.number);
      }
    }
    report_.generation = makeGeneration(last, afterRemoval_);
    return report_.generation || fail("there is no number for another generation, or no random bytes");
  }
  bool full() const { return maker_->report.part == Part::Full; }

  // As the Security Officer where there are sealed keys, else as the user.
  bool enter(Participant& participant, bool officer, Outcome& outcome) {
    const SecureBytes* const pin = officer ? participant.candidate.officerPin : participant.candidate.userPin;
    return logIn(participant, officer ? CKU_SO : CKU_USER, *pin, outcome);
  }
  // Before anything is made for good, a full member that fails ends it all; one with open keys only is left out.
  bool lose(Participant& participant, const Problem& problem) {
    if (participant.report.part == Part::Full || &participant == maker_) {
      participant.report.reason = problem.text;
      return fail(participant.words(problem) + "; nothing was made");
    }
    leaveOut(participant, problem.text);
    return true;
  }

  bool handOverAll() {
    Outcome outcome;
    if (!enter(*maker_, full(), outcome)) return false;
    if (outcome.rv != CKR_OK) return lose(*maker_, answered("C_Login", outcome));
    tell(*maker_, "making the keys");
    const OnToken giver = maker_->session.token();
    std::vector<CK_OBJECT_HANDLE> keys;
    for (std::size_t i = 0; i < kKinds.size() && outcome.rv == CKR_OK; ++i) {
      outcome = giver.generateKey(CKM_AES_KEY_GEN, handedOverTemplate(full()), keys.emplace_back());
    }
    const bool made = outcome.rv == CKR_OK ? handOverToEach(giver, keys)
                                           : lose(*maker_, answered("C_GenerateKey of a domain key", outcome));
    for (const CK_OBJECT_HANDLE key : keys) {
      if (key != CK_INVALID_HANDLE) giver.destroy(key);
    }
    return made;
  }

  bool handOverToEach(const OnToken& giver, const std::vector<CK_OBJECT_HANDLE>& keys) {
    for (const auto& each : participants_) {
      Participant& participant = *each;
      if (participant.report.part == Part::LeftOut) continue;
      tell(participant, "handing the keys over");
      Outcome outcome;
      if (!enter(participant, participant.report.part == Part::Full, outcome)) return false;
      if (outcome.rv != CKR_OK) {
        if (!lose(participant, answered("C_Login", outcome))) return false;
        continue;
      }
      participant.pair.emplace(participant.session.token(), false);
      if (const auto problem = participant.pair->make()) {
        if (!lose(participant, *problem)) return false;
        continue;
      }
      std::vector<CK_OBJECT_HANDLE> taken;
      for (std::size_t i = 0; i < kKinds.size(); ++i) {
        if (!participant.takes(kKinds[i])) continue;
        participant.parcels.push_back({kKinds[i], {}});
        taken.push_back(keys[i]);
      }
      auto wrapped = handOver(giver, taken, participant.pair->material(), full());
      if (!wrapped) return lose(*maker_, wrapped.error());
      for (std::size_t i = 0; i < taken.size(); ++i) participant.parcels[i].handedOver = std::move((*wrapped)[i]);
    }
    return true;
  }

  Outcome take(Participant& participant, Parcel& parcel, Lifetime lifetime, CK_OBJECT_HANDLE& made) {
    return participant.pair->take(parcel.handedOver, domainKeyTemplate(*report_.generation, parcel.kind, lifetime),
                                  made);
  }

  // Each member takes its keys as session objects, which end with the session: whatever can fail fails here. Sealed
  // keys as the Security Officer, who is logged in already, open ones as the user.
  bool rehearse() {
    for (const Seal seal : {Seal::Sealed, Seal::Open}) {
      for (const auto& each : participants_) {
        Participant& participant = *each;
        if (participant.report.part == Part::LeftOut || (seal == Seal::Sealed && !isFull(participant))) continue;
        tell(participant, seal == Seal::Sealed ? "trying the sealed keys" : "trying the open keys");
        Outcome outcome;
        if (!enter(participant, seal == Seal::Sealed, outcome)) return false;
        if (outcome.rv != CKR_OK) {
          if (!lose(participant, answered("C_Login", outcome))) return false;
          continue;
        }
        for (Parcel& parcel : participant.parcels) {
          if (parcel.kind.seal != seal || participant.report.part == Part::LeftOut) continue;
          CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
          outcome = take(participant, parcel, Lifetime::Session, made);
          if (outcome.rv != CKR_OK && !lose(participant, answered("C_UnwrapKey of a domain key", outcome)))
            return false;
        }
      }
    }
    return true;
  }
  static bool isFull(const Participant& participant) { return participant.report.part == Part::Full; }

  // The user is logged in everywhere: open keys first. A member that fails costs its own keys only.
  void makeForGood() {
    for (const auto& participant : participants_)
      participant->report.joined = participant->report.part != Part::LeftOut;
    for (const Seal seal : {Seal::Open, Seal::Sealed}) {
      for (const auto& each : participants_) {
        Participant& participant = *each;
        if (!participant.report.joined || (seal == Seal::Sealed && !isFull(participant))) continue;
        tell(participant, seal == Seal::Sealed ? "storing the sealed keys" : "storing the open keys");
        if (const auto problem = store(participant, seal)) {
          participant.report.joined = false;
          participant.report.reason = problem->text;
          report_.problem = participant.words(*problem) + "; run it again";
        }
      }
    }
    report_.result = report_.problem.empty() ? Report::Result::Done : Report::Result::Incomplete;
  }

  std::optional<Problem> store(Participant& participant, Seal seal) {
    Outcome outcome;
    enter(participant, seal == Seal::Sealed, outcome);
    if (outcome.rv != CKR_OK) return answered("C_Login", outcome);
    for (Parcel& parcel : participant.parcels) {
      if (parcel.kind.seal != seal) continue;
      CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
      outcome = take(participant, parcel, Lifetime::Token, made);
      if (outcome.rv != CKR_OK) return answered("C_UnwrapKey of a domain key", outcome);
    }
    return std::nullopt;
  }

  const JoinOptions& options_;
  const bool afterRemoval_;
  const Progress& progress_;
  Report report_;
  std::vector<std::unique_ptr<Participant>> participants_;
  Participant* maker_ = nullptr;
};

}  // namespace

Report join(std::span<const Candidate> candidates, const JoinOptions& options, const Progress& progress) {
  return Joining(candidates, options, false, progress).run();
}

Report renewAfterRemoval(std::span<const Candidate> remaining, bool plan, const Progress& progress) {
  const JoinOptions options{plan, true};
  return Joining(remaining, options, true, progress).run();
}

Report status(std::span<const Candidate> candidates) {
  const JoinOptions options;
  const Progress silent;
  return Joining(candidates, options, false, silent).status();
}

}  // namespace p11ha::ha::domain
