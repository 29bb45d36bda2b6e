// What a failing module is told to do: one rule a line, the same text in the command, in the rule file and in listings.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cryptoki/function.h"

namespace p11ha::testbed {

/// Whom a rule is for: `any` (every slot, and the calls that name none), a slot number, or `serial:TEXT`.
struct Target {
  enum class Kind : std::uint8_t { Any, Slot, Serial };

  Kind kind = Kind::Any;
  CK_SLOT_ID slot = 0;
  std::string serial;

  bool covers(CK_SLOT_ID ofSlot, std::string_view ofSerial) const;
  std::string text() const;
  friend bool operator==(const Target&, const Target&) = default;
};

enum class Action : std::uint8_t {
  Fail,        // answers rv instead of passing the call on, or, with `after`, once it was passed on
  Delay,       // passes the call on later
  Hang,        // holds the call until the rule is healed or the process finalizes
  Unplug,      // the token is gone; what comes back with heal has no sessions and no login
  Deactivate,  // the token is there, but its login has ended and cannot be had
};

struct Rule {
  std::uint64_t id = 0;  // given by the rule file; a rule keeps it as long as it is in force
  Action action = Action::Fail;
  Target target;
  std::bitset<cryptoki::kFunctionCount> calls;
  CK_RV rv = CKR_OK;
  bool after = false;
  std::uint32_t delayMs = 0;
  std::uint64_t times = 0;  // 0: without end; else so many calls of each process

  bool names(cryptoki::Fn fn) const { return calls.test(static_cast<std::size_t>(fn)); }
};

/// The calls that `*` stands for: all but C_Initialize and C_Finalize, which have to be named, and the three that tell
/// the function lists, which no rule can touch (they are answered before anything is known of slots).
std::bitset<cryptoki::kFunctionCount> allCalls();

/// The errors say what was expected, ready to be shown. Pure; any thread.
base::Result<Target, std::string> parseTarget(std::string_view text);
base::Result<Rule, std::string> parseRule(std::span<const std::string> words);

/// A rule without its id, as parseRule reads it.
std::string ruleText(const Rule& rule);

/// Splits at blanks.
std::vector<std::string> splitWords(std::string_view line);

}  // namespace p11ha::testbed
