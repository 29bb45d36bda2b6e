// When the application's call began that a thread is making: CallDeadline bounds all its tries together.
#pragma once

#include "base/clock.h"

namespace p11ha::cryptoki {

/// Tries of one and the same call, for as long as this is there. One thread; within another one, of a call made
/// meanwhile, it leaves that one as it was.
class SameCall {
 public:
  /// `triedBefore`: the call that this thread has made last was its first try already.
  explicit SameCall(bool triedBefore);
  ~SameCall();
  SameCall(const SameCall&) = delete;
  SameCall& operator=(const SameCall&) = delete;

  bool lasts(base::Monotonic::duration longerThan) const;
  /// What is left of so much; nothing less than none.
  base::Monotonic::duration left(base::Monotonic::duration of) const;

 private:
  const bool isWithin_;
  const base::Monotonic outer_;  // when that call began
};

/// For members that can end a call: when the call began of which this is a try. Without a SameCall that is now.
base::Monotonic callBegan();
/// And that the try has brought no answer: what follows at once is about the same call.
void callFailed();

}  // namespace p11ha::cryptoki
