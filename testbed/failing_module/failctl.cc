// p11ha-failctl: tells the failing modules of a control folder what to do.
#include <cstdio>
#include <string>
#include <vector>

#include "testbed/failing_module/command.h"

namespace {

std::string usage() {
  return "usage: p11ha-failctl DIR COMMAND ...\n\n"
         "DIR is what P11HA_FAILING_CONTROL names in the processes that use p11ha-failing.so. A command is in force "
         "in\n"
         "all of them when this program ends, and in those that start later.\n\n" +
         p11ha::testbed::commandUsage();
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
    std::fputs(usage().c_str(), stdout);
    return 0;
  }
  if (words.size() < 2) {
    std::fputs(usage().c_str(), stderr);
    return 2;
  }
  const auto result = p11ha::testbed::runCommand(words[0], std::span(words).subspan(1));
  std::fputs(result.output.c_str(), stdout);
  if (!result.error.empty()) std::fprintf(stderr, "p11ha-failctl: %s\n", result.error.c_str());
  if (result.status == 2) std::fputs("(p11ha-failctl --help tells the commands)\n", stderr);
  return result.status;
}
