// POSIX files for load, lock and save. Internal to config.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "base/result.h"
#include "config/load.h"

namespace p11ha::config {

inline std::string errorText(int error) { return std::error_code(error, std::generic_category()).message(); }

/// What `path` names in the end, existing or not; why that cannot be told.
base::Result<std::filesystem::path, std::string> followLinks(std::filesystem::path path);

}  // namespace p11ha::config
