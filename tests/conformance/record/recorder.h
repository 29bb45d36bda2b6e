// Makes a script's calls and writes down what came of them.
#pragma once

#include <set>

#include "tests/conformance/record/module.h"
#include "tests/conformance/record/normaliser.h"
#include "tests/conformance/record/tracker.h"

namespace p11ha::conformance {

/// A call of the script by its place: section and number in it.
using Place = std::pair<std::string, unsigned>;

/// Writes to a file descriptor, each line at once, since the next call may be the last. One thread. Throws
/// std::runtime_error when it cannot write.
class Recorder {
 public:
  Recorder(const Module& module, int out, std::set<Place> leftOut);

  /// Calls after this have numbers of their own, so that scripts that parted are compared again from here on.
  void section(const std::string& name);

  /// Left-out calls answer CKR_FUNCTION_CANCELED; those to functions that the module lacks CKR_FUNCTION_NOT_SUPPORTED.
  CK_RV call(const cryptoki::Call& call, const Note& note = {});

  /// The slot that is "the token" in outputs.
  void setSlot(CK_SLOT_ID slot) { slot_ = slot; }
  const Module& module() const { return module_; }
  const Names& names() const { return names_; }

 private:
  void write(const std::string& line) const;

  const Module& module_;
  const int out_;
  const std::set<Place> leftOut_;
  std::string section_;
  unsigned number_ = 0;
  CK_SLOT_ID slot_ = CK_UNAVAILABLE_INFORMATION;
  Names names_;
  Tracker tracker_;
};

}  // namespace p11ha::conformance
