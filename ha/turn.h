// One resync at a time on a member, however many processes there are.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cryptoki/member.h"

namespace p11ha::ha {

/// Lamport's bakery, its registers being public CKO_DATA objects of p11ha's on the member, as nothing else is common to
/// all who use it: each draws a number above those that it sees and waits until nobody has a lower one. Whoever makes
/// an object without a turn (a call of an application, which goes to every member) is not kept out.
///
/// A search is no snapshot: one that takes its list before a claim is renewed and reads it after the former has gone
/// sees neither. So what a claim replaces stays beside it until the next renewal; of several of one owner the latest
/// counts.
///
/// A member that takes no such objects gives everybody a turn at once. A claim that stands unchanged for too long is of
/// a process that has died, or is nobody's: it is removed, so that nothing that was left on a token holds a resync
/// back for longer. Who finds that its own was removed, as when it was stopped for so long, has its turn no more.
/// (Whoever can write public objects there can keep one waiting for as long as it goes on writing.)
///
/// One thread; blocks as the member's calls do, and for others' turns. The session outlives it, and is a read-write
/// one.
class Turn {
 public:
  struct Patience {
    std::chrono::milliseconds look{20};           // how often a claim is looked at
    std::chrono::milliseconds unchanged{10'000};  // how long one may stand as it is
    std::chrono::milliseconds renewal() const { return unchanged / 5; }
  };

  /// `owner`: drawOwner(), once for all turns of which there is never more than one at a time.
  Turn(cryptoki::Member& member, CK_SESSION_HANDLE session, std::uint64_t owner, const Patience& patience);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  /// Says that it is about to draw a number, and returns the highest that others have. What an earlier turn of the
  /// owner has left there, as the member was lost, is taken away.
  std::uint64_t enter();
  /// Draws that number, which is above all that enter() returned of the members on which the owner wants a turn at
  /// once: as it has the same on each, no two owners wait for one another.
  void draw(std::uint64_t number);
  /// Until nobody is before it. `meanwhile` is called now and then, with how long it has waited, and says whether to go
  /// on: else there is no turn.
  using Meanwhile = std::function<bool(std::chrono::nanoseconds waited)>;
  void wait(const Meanwhile& meanwhile = {});

  /// False where the member did not say whose turn it is, and after others took its owner for dead.
  bool isOurs() const { return state_ != State::Over; }
  /// The member was lost: nothing more is said to it.
  void forget() { state_ = State::Over; }
  /// Shows that its owner is alive, where that is due; isOurs() after it. Now and then, and more often than others'
  /// patience lasts.
  bool renew();

  /// At random.
  static std::uint64_t drawOwner();

  /// CKA_LABEL of a claim.
  static constexpr std::string_view kLabel = "p11ha turn";

  /// What a claim says: CKA_VALUE, as text.
  struct Claim {
    std::uint64_t number = 0;  // 0: it is about to draw one
    std::uint64_t owner = 0;   // at random
    std::uint64_t life = 0;    // another each time it is renewed

    std::string text() const;
    static std::optional<Claim> parse(std::span<const std::uint8_t> value);
    /// Of the same owner: does it replace that one?
    bool replaces(const Claim& other) const { return std::pair(number, life) > std::pair(other.number, other.life); }
    bool isBefore(const Claim& other) const {
      return number != other.number ? number < other.number : owner < other.owner;
    }
    friend bool operator==(const Claim&, const Claim&) = default;
  };

 private:
  enum class State {
    Open,  // to everybody: the member keeps no claims
    Held,
    Over,
  };
  // What one owner claims.
  struct Seen {
    Claim claim;  // the latest of his
    std::vector<CK_OBJECT_HANDLE> handles;
    base::Monotonic since;  // when it was first seen as it is: of a dead owner's on several members all age at once
  };
  base::Monotonic sinceWhen(const Claim& claim) const;
  void put(const Claim& claim);
  CK_RV drop(CK_OBJECT_HANDLE handle);
  void dropAll();
  std::optional<std::vector<Seen>> look();
  std::optional<std::vector<Seen>> lookOnce(bool& isWhole);

  const Patience patience_;
  cryptoki::Member& member_;
  const CK_SESSION_HANDLE session_;
  Claim own_;
  std::deque<CK_OBJECT_HANDLE> claims_;  // the latest, and what it replaces
  State state_ = State::Held;
  std::vector<Seen> seen_;  // at the last look
  base::Monotonic renewed_;
};

}  // namespace p11ha::ha
