// Two transcripts of one scenario, call by call.
#pragma once

#include <string>
#include <vector>

#include "tests/conformance/comparison/transcript.h"

namespace p11ha::conformance {

/// Something the subject answered otherwise than the reference: the rv, or an output. Where the field is "call", one of
/// them was not asked at all.
struct Difference {
  Entry call;  // as the reference recorded it; the subject's where the reference has no such call
  std::string field;
  std::string expected;
  std::string got;
};

/// A call that cannot tell anything, and why.
struct NotCompared {
  Entry call;
  std::string reason;
};

struct Comparison {
  std::vector<Entry> compared;  // as the reference recorded them, those with differences included
  std::vector<Difference> differences;
  std::vector<NotCompared> notCompared;
};

/// Pure. A call in which the reference died is not compared; one in which only the subject died is a difference. When
/// the two scripts part within a section (which only a difference before can cause, else the parting is one), the rest
/// of the section is not compared.
Comparison compare(const Transcript& reference, const Transcript& subject);

}  // namespace p11ha::conformance
