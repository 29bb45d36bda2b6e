// One of the two modules compared: tokens, the module over them, and scripts run on it.
#pragma once

#include <set>

#include "tests/conformance/comparison/transcript.h"
#include "tests/conformance/record/recorder.h"
#include "tests/conformance/run/profile.h"
#include "tests/conformance/script/client.h"

namespace p11ha::conformance {

/// What the program is told when it runs itself to record one scenario.
struct RecordOrder {
  std::string scenario;
  std::string module;
  TokenAccess token;
  std::string transcript;  // the file to write
  std::string leftOut;     // the file that lists the calls to leave out, "section\tnumber" lines
};

/// Does what the order says, in this process. Status for exit: 0, or 1 with a message on standard error.
int record(const RecordOrder& order);

/// One thread. Each scenario is recorded by processes of their own over tokens as fresh as at first.
class Side {
 public:
  /// The module of the profile itself, or a group over its tokens, by the library given.
  Side(const std::string& profile, std::size_t members, const std::string& groupLibrary);

  /// The transcript of a scenario. What dies in a call, or of what it did to the heap, is run again without it (marked
  /// kDied), so that all others are recorded. Throws std::runtime_error where the scenario cannot be run at all.
  Transcript run(const std::string& scenario, std::set<Place> leftOut);

  /// The calls marked kDied.
  static std::set<Place> deaths(const Transcript& transcript);

 private:
  void configureGroup(const std::string& groupLibrary);
  /// Did it come to the end? Throws where the script itself gave up.
  bool attempt(const std::string& scenario, const std::set<Place>& leftOut, Transcript& transcript);

  Tokens tokens_;
  std::string module_;
  TokenAccess access_;
};

}  // namespace p11ha::conformance
