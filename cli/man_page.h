// The manual page, from the table of commands.
#pragma once

#include <string>

namespace p11ha::cli {

/// hacm(1), for `man`. Pure.
std::string manPage(const std::string& version);

}  // namespace p11ha::cli
