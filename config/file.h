// POSIX files for load and save. Internal to config.
#pragma once

#include <sys/stat.h>

#include <string>
#include <system_error>

#include "config/load.h"

namespace p11ha::config {

inline std::string errorText(int error) { return std::error_code(error, std::generic_category()).message(); }

}  // namespace p11ha::config
