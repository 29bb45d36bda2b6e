// How long a certificate is good for.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace p11ha::transport {

/// When the first certificate of a PEM file stops being valid; nothing where the file holds none that can be read. Any
/// thread; blocks as the file system does.
std::optional<std::chrono::sys_seconds> expiryOf(const std::string& path);

}  // namespace p11ha::transport
