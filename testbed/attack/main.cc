// p11ha-attack: tries to get keys out of a cloning domain with the user PIN.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "testbed/attack/attacks.h"

namespace {

using namespace p11ha::attack;

constexpr char kUsage[] =
    "usage: p11ha-attack [--module FILE]\n"
    "\n"
    "Makes SoftHSM tokens in a store of their own: two with a cloning domain of p11ha's, and others whose domain keys\n"
    "lack some part of the scheme. Then, with the user PIN only, tries each way it knows to get at a key that was "
    "made\n"
    "to be non-extractable: where the part is missing it must work, so that the attack is known to be a real one, and\n"
    "against the scheme it must fail. Prints a table; status 0 if that is so, else 1.\n"
    "\n"
    "--module FILE  the SoftHSM to use (/usr/lib/softhsm/libsofthsm2.so)\n";

int run(const std::string& module) {
  Arena arena(module);
  bool asItShould = true;
  std::printf("%-56s | %-33s | %-36s | %s\n", "attack", "weak variant", "on the weak variant", "on the scheme");
  for (const Attack& attack : allAttacks()) {
    const bool hasVariant = attack.weakness != Weakness::None;
    const Result weak = hasVariant ? attack.run(arena, arena.of(attack.weakness)) : Result{true, "-"};
    const Result scheme = attack.run(arena, arena.of(Weakness::None));
    const std::string weakly = !hasVariant ? "-" : (weak.fell ? "falls: " : "HOLDS: ") + weak.how;
    const std::string firmly = (scheme.fell ? "FALLS: " : "fails: ") + scheme.how;
    std::printf("%-56s | %-33s | %-36s | %s\n", attack.name, attack.weakPart, weakly.c_str(), firmly.c_str());
    asItShould = asItShould && weak.fell && !scheme.fell;
  }
  std::printf("%s\n",
              asItShould ? "Every weak variant falls; every attack on the scheme fails." : "NOT AS IT SHOULD BE");
  return asItShould ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  std::string module = "/usr/lib/softhsm/libsofthsm2.so";
  if (words.size() == 1 && words[0] == "--help") {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (words.size() == 2 && words[0] == "--module") {
    module = words[1];
  } else if (!words.empty()) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  try {
    return run(module);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "p11ha-attack: %s\n", error.what());
    return 1;
  }
}
