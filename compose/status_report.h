// What a process says of its groups, as text that other processes read: the status file of README.md, "Looking at it".
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "ha/status.h"

namespace p11ha::compose {

/// Times of the report, on the wall.
using Moment = std::chrono::sys_time<std::chrono::milliseconds>;

struct MemberReport {
  std::string serial;
  std::string state;  // ha::stateName()
  bool serves = false;
  std::string cause;  // ha::causeName(); empty: none
  Moment since{};     // of this state
  std::chrono::milliseconds age{0};
  std::uint64_t attempts = 0;         // to recover it, in this outage
  std::optional<Moment> nextAttempt;  // of a member that is down
  std::uint64_t outstanding = 0;
  std::uint64_t calls = 0;
  std::uint64_t failovers = 0;
  std::string lastError;  // "CKR_DEVICE_ERROR"
  std::string problem;    // in words; mostly empty

  bool operator==(const MemberReport&) const = default;
};

struct GroupReport {
  std::string label;
  std::string serial;
  std::optional<Moment> allLostSince;
  std::vector<MemberReport> members;

  bool operator==(const GroupReport&) const = default;
};

/// One process. No secret is ever in it.
struct ProcessReport {
  std::int64_t pid = 0;
  /// When the process began, in ticks since the machine did (/proc/PID/stat): tells it from another of the same number.
  std::uint64_t started = 0;
  std::string program;
  Moment written{};
  std::vector<GroupReport> groups;

  bool operator==(const ProcessReport&) const = default;
};

/// A group's status as of `now`, its times told on the wall. Pure; any thread, as what follows.
GroupReport report(const ha::GroupStatus& status, base::Monotonic now, Moment wall);

/// Lines of fields that are separated by tabs, each text escaped (halog/escape.h):
///
///     p11ha-status 1
///     process  PID  STARTED  PROGRAM  WRITTEN
///     group    LABEL  SERIAL  ALL-LOST-SINCE
///     member   SERIAL  STATE  SERVES  CAUSE  SINCE  AGE  ATTEMPTS  NEXT-ATTEMPT  OUTSTANDING  CALLS  FAILOVERS
///              LAST-ERROR  PROBLEM
///
/// Members belong to the group before them. Times are 2026-01-31T23:59:59.999Z, or "-" for none; AGE is in
/// milliseconds, SERVES "yes" or "no". Lines that begin with # are for people.
std::string format(const ProcessReport& report);

/// What format() wrote, and anything else of that version: further fields, and lines that begin with another word, are
/// passed over. Nothing where the text is not one, or not a whole one.
std::optional<ProcessReport> parse(std::string_view text);

}  // namespace p11ha::compose
