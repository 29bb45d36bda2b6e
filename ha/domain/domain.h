// Setting up a cloning domain on a group's members: joining, removing, and what they hold (CLONING.md, "Making and
// handing over").
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/secure_bytes.h"
#include "cryptoki/member.h"
#include "ha/domain/holding.h"

namespace p11ha::ha::domain {

/// A member, and the PINs that are at hand for it (nullptr: not). Borrowed for the call. Nobody else in this process
/// may be logged in to the token or have sessions on it: a Security Officer's login excludes the user's, and read-only
/// sessions (PKCS #11 v3.0, 5.6.8).
struct Candidate {
  cryptoki::Member& member;
  const base::SecureBytes* userPin = nullptr;
  const base::SecureBytes* officerPin = nullptr;
};

/// How a member takes part.
enum class Part : std::uint8_t {
  Full,      // sealed and open keys
  OpenOnly,  // keys that are extractable anyway
  LeftOut,   // none: what is extractable travels under keys of a session (ha/cloning.h), if at all
};

struct MemberReport {
  std::string serial;
  Part part = Part::LeftOut;
  std::string reason;  // why not Full, or what went wrong; empty: nothing
  /// What the token let through when it was examined, in words (admission.h).
  std::vector<std::string> letThrough;
  /// What it held before, and names of others' making among it.
  Holding holding;
  /// It holds all keys of the report's generation that its part asks for.
  bool joined = false;
};

struct Report {
  enum class Result : std::uint8_t {
    Done,         // a new generation, complete on every member according to its part
    AlreadyDone,  // all members hold one: nothing was made
    Planned,      // as was asked: nothing was made
    Incomplete,   // a new generation that some member did not get whole: run it again
    NotDone,      // `problem`; nothing was made
  };
  Result result = Result::NotDone;
  std::string problem;
  /// NotDone for this: the PIN of `user` which a member did not take, and what it answered.
  struct Refusal {
    std::string serial;
    CK_USER_TYPE user;
    CK_RV rv;
  };
  std::optional<Refusal> refusal;
  std::optional<Generation> generation;  // that they hold; of a plan: the one there would be, with other random bytes
  std::vector<MemberReport> members;     // as the candidates
};

struct JoinOptions {
  bool plan = false;   // examine the tokens, and make nothing that lasts
  bool renew = false;  // a new generation, also where all members hold one already
};

/// Told what is about to be done with whom ("examining"), for whoever waits. Called on the same thread.
using Progress = std::function<void(const std::string& serial, const std::string& step)>;

/// Makes a new generation of domain keys and gives it to every candidate that may have it.
///
/// Each token is examined (admission.h). One with all PINs that lets nothing through takes part in full; one that does
/// not, or whose Security Officer's PIN is not at hand, with open keys; one without the user's PIN, or that cannot be
/// reached, is left out: `reason` says so. Once a PIN was refused by a member, no other is asked: the join ends.
///
/// The first full member makes the keys as session objects that only a trusted key may wrap, and hands them over by
/// RSA-OAEP; each member unwraps them once as session objects to see that it will, and only when all have done so, with
/// the final templates. Keys made for good cannot be destroyed again: what is interrupted after that leaves part of a
/// generation, which is used between those members that have it. Running it again makes a complete one.
///
/// Blocks as the members' calls do. One thread, and one process at a time (two at once make two generations, both
/// sound).
Report join(std::span<const Candidate> candidates, const JoinOptions& options, const Progress& progress);

/// After a member was removed: a new generation on those that remain, which are the candidates, and from then on no
/// key travels by one before it. Else as join() with renew.
Report renewAfterRemoval(std::span<const Candidate> remaining, bool plan, const Progress& progress);

/// What the members hold. Without the user's PIN only sealed keys can be seen. NotDone where a PIN was refused.
Report status(std::span<const Candidate> candidates);

}  // namespace p11ha::ha::domain
