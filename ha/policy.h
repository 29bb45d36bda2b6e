// What a group is told to do: plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "cryptoki/function.h"

namespace p11ha::ha {

/// Members a group may have, and so the width of every per-member array and mask ("Configuration file" of
/// luna-facts.md).
inline constexpr unsigned kMaxMembers = 32;

/// One bit a member, by its index.
using MemberMask = std::uint32_t;
constexpr MemberMask bit(unsigned member) { return MemberMask{1} << member; }

/// CloningPolicy: how keys travel between members (CLONING.md).
enum class CloningPolicy : std::uint8_t { Domain, User, None };

/// UnreplicatedKeys: may a key be made that only one member can hold?
enum class UnreplicatedKeys : std::uint8_t { Allow, Deny };

/// VirtualTokenActiveRecovery.
enum class RecoveryMode : std::uint8_t { Basic, Enhanced };

struct RecoveryPolicy {
  std::int64_t attempts = -1;         // reconnAtt: an outage; 0 off, -1 without end
  std::chrono::seconds interval{60};  // AutoReconnectInterval
  std::uint64_t jitterSeed = 0;       // of this process; 0: attempts start at the interval exactly
  friend bool operator==(const RecoveryPolicy&, const RecoveryPolicy&) = default;
};

struct GroupPolicy {
  std::string label;
  std::string serial;
  RecoveryPolicy recovery;
  RecoveryMode recoveryMode = RecoveryMode::Enhanced;
  bool synchronize = true;             // HASynchronize
  bool failoverOnDeactivation = true;  // failover_on_deactivation
  CloningPolicy cloning = CloningPolicy::Domain;
  UnreplicatedKeys unreplicated = UnreplicatedKeys::Allow;
  std::size_t multipartJournal = 1'048'576;  // bytes that an operation's inputs may be kept in
  std::chrono::milliseconds callDeadline{20'000};
  std::chrono::milliseconds keyGenerationDeadline{2'700'000};
  std::chrono::milliseconds recoverWait{0};  // how long a call that finds no member waits for one to come back
  friend bool operator==(const GroupPolicy&, const GroupPolicy&) = default;

  /// What a call of that function is given, all its tries together.
  std::chrono::milliseconds deadlineOf(cryptoki::Fn fn) const {
    return cryptoki::isKeyGeneration(fn) ? keyGenerationDeadline : callDeadline;
  }
};

}  // namespace p11ha::ha
