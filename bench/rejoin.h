// How long a member takes to join a group.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "bench/token.h"

namespace p11ha::bench {

struct Rejoin {
  std::uint64_t objects = 0;  // token objects that it was given, as the HA log says
  std::chrono::nanoseconds time{0};
};

/// Logs in to the group, whose configuration is `configuration` (P11HA_CONF of this process), puts `with` in its place,
/// which names one member more, and waits until that member serves. The time is from one line of the HA log (`log`) to
/// another, as they are seen there: the member is detected, and its recovery has succeeded. In between it is connected
/// to, logged in, looked at, and given what it lacks. The error is ready to be shown.
base::Result<Rejoin, std::string> measureRejoin(const Token::Spec& spec, const std::filesystem::path& configuration,
                                                const std::filesystem::path& with, const std::filesystem::path& log);

}  // namespace p11ha::bench
