#include "tests/support/pki.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "tests/support/program.h"

namespace p11ha::tests {

const Pki& Pki::theOne() {
  static const Pki* const one = new Pki;
  return *one;
}

Pki::Pki() {
  std::string name = (std::filesystem::temp_directory_path() / "p11ha-pki-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for certificates");
  folder_ = name;
  std::string script = "set -e; cd " + folder_ + "; p='" P11HA_SOURCE_DIR "/testbed/pki.sh .';";
  for (const char* const made :
       {"ca ca", "server ca server", "expired-client ca expired", "expired-server ca oldserver", "client ca alice",
        "client ca bob", "ca other", "client other mallory", "server other otherserver"})
    script += std::string(" $p ") + made + ";";
  if (runCommandLine(script).status != 0) throw std::runtime_error("testbed/pki.sh failed");
  static const pid_t owner = getpid();
  std::atexit([] {
    if (getpid() != owner) return;
    std::error_code ignored;
    std::filesystem::remove_all(theOne().folder_, ignored);
  });
}

}  // namespace p11ha::tests
