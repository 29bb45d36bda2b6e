// What a holder of the user PIN can try, each on a token where it must work and on one where it must not.
#pragma once

#include <span>
#include <string>

#include "testbed/attack/ground.h"

namespace p11ha::attack {

/// What came of an attack.
struct Result {
  bool fell = false;  // it worked
  std::string how;    // what was gained, or the answer that ended it
};

/// A line of the table. Constant.
struct Attack {
  const char* name;
  const char* weakPart;  // what the weak variant lacks
  Weakness weakness;     // None: no token is known that lets it through
  Result (*run)(Arena& arena, Ground& ground);
};

/// In the order in which to try them: those that spoil a token last.
std::span<const Attack> allAttacks();

}  // namespace p11ha::attack
