// p11ha-memberd ctl: telling an appliance that runs what to do.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace p11ha::testbed {

struct ControlAnswer {
  int status = 1;  // to exit with
  std::string text;
};

/// How long to wait for the answer to these words: longer than the appliance itself lets anybody wait, so that only one
/// that is stopped answers nothing at all. Pure.
std::chrono::milliseconds controlPatience(const std::vector<std::string>& words);

/// Sends the words to the appliance that listens at the socket, and waits for its answer: what was changed is in force
/// then. Where none comes, it says what may have become of them.
ControlAnswer tellAppliance(const std::string& socket, const std::vector<std::string>& words,
                            std::chrono::milliseconds patience);

}  // namespace p11ha::testbed
