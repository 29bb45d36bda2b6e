// p11ha-memberd ctl: telling an appliance that runs what to do.
#pragma once

#include <string>
#include <vector>

namespace p11ha::testbed {

struct ControlAnswer {
  int status = 1;  // to exit with
  std::string text;
};

/// Sends the words to the appliance that listens at the socket, and waits for its answer: what was changed is in force
/// then.
ControlAnswer tellAppliance(const std::string& socket, const std::vector<std::string>& words);

}  // namespace p11ha::testbed
