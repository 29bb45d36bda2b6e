#include "config/locate.h"

#include <sys/stat.h>

#include <cstdlib>

namespace p11ha::config {

Environment Environment::ofProcess() {
  return {[](const char* name) -> std::optional<std::string> {
            const char* const value = secure_getenv(name);
            if (value == nullptr) return std::nullopt;
            return value;
          },
          [](const std::string& path) {
            struct stat found {};
            return stat(path.c_str(), &found) == 0;
          }};
}

std::string locate(const Environment& environment) {
  const auto file = environment.variable("P11HA_CONF");
  if (file && !file->empty()) return *file;
  std::string directory = environment.variable("ChrystokiConfigurationPath").value_or("");
  if (directory.empty()) directory = "/etc";
  if (directory.back() != '/') directory += '/';
  std::string conf = directory + "Chrystoki.conf";
  std::string ini = directory + "crystoki.ini";
  return !environment.exists(conf) && environment.exists(ini) ? ini : conf;
}

}  // namespace p11ha::config
