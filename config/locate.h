// Where the configuration file is.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace p11ha::config {

/// What locate() may ask of the process. Handed in, so that a test needs neither setenv nor /etc.
struct Environment {
  std::function<std::optional<std::string>(const char* name)> variable;
  std::function<bool(const std::string& path)> exists;

  /// The process's own, read with secure_getenv: a set-user-ID program takes no configuration from its caller.
  /// Reading the environment races with setenv in other threads, as getenv does.
  static Environment ofProcess();
};

/// The file to read, whether or not it exists: `P11HA_CONF` names it outright; else it is Chrystoki.conf, or
/// crystoki.ini where only that exists, in the directory `ChrystokiConfigurationPath`, else in /etc. A variable that is
/// set but empty counts as not set. (luna-facts, "Configuration file")
std::string locate(const Environment& environment);

}  // namespace p11ha::config
