// What a fault proxy can do to connections, and the words for it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace p11ha::testbed {

/// Which bytes.
enum class Way : std::uint8_t { Both, ToClient, ToServer };

/// One command: a state that lasts until the next one, or (Reset, Corrupt) something that happens once to each
/// connection that is open.
struct Fault {
  enum class Kind : std::uint8_t { Pass, Drop, Delay, Stall, HalfOpen, Throttle, Reset, Corrupt };
  Kind kind = Kind::Pass;
  Way way = Way::Both;
  std::uint64_t amount = 0;  // ms of Delay, bytes a second of Throttle, bytes that still pass before Reset or Corrupt
};

constexpr bool lasts(Fault::Kind kind) { return kind != Fault::Kind::Reset && kind != Fault::Kind::Corrupt; }

/// The error tells what was expected.
base::Result<Fault, std::string> parseFault(const std::vector<std::string>& words);
/// The words that parseFault() takes for it.
std::string faultText(const Fault& fault);
/// What each of them does, for --help.
extern const char* const kFaultHelp;

}  // namespace p11ha::testbed
