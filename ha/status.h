// What a group and its members are doing now, for whoever looks at them: plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ha/member_state.h"

namespace p11ha::ha {

struct MemberStatus {
  std::string serial;
  bool standby = false;
  bool serves = false;  // calls go to it
  MemberState state;
  long outstanding = 0;         // calls that run on it now
  std::uint64_t calls = 0;      // made on it since C_Initialize, for the application
  std::uint64_t failovers = 0;  // of them, those that went on to another member, since this one was found gone
};

struct GroupStatus {
  std::string label;
  std::string serial;
  std::optional<base::Monotonic> allLostSince;  // nothing while some member serves
  std::vector<MemberStatus> members;            // in the order of the configuration
};

/// "active", "standby" (active, and in reserve), "down", "recovering", "given up" or "removed". Pure; any thread.
std::string_view stateName(const MemberStatus& member);

/// Why a member is not active, in a few words: "not there at start", "dropped" ... Empty for Cause::None. Pure; any
/// thread.
std::string_view causeName(Cause cause);

}  // namespace p11ha::ha
