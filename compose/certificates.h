// The certificates that connections to servers need.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.h"

namespace p11ha::compose {

struct Certificate {
  std::string file;
  std::optional<std::chrono::sys_seconds> expires;  // nothing: the file holds none that can be read
};

/// Of the authority and of this client; none where the settings name no server. Any thread; blocks as the file system
/// does.
std::vector<Certificate> certificatesOf(const config::Settings& settings);

}  // namespace p11ha::compose
