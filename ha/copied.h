// What came of copying an object from one member to another.
#pragma once

#include <string>

#include "cryptoki/member.h"

namespace p11ha::ha {

struct Copied {
  enum class Result : std::uint8_t {
    Done,     // `handle` on the target
    Refused,  // it cannot be copied: `reason`
    TargetLost,
    SourceLost,
  };
  Result result = Result::Done;
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  std::string reason;
  cryptoki::Outcome outcome;  // the member's, unless Done
};

}  // namespace p11ha::ha
