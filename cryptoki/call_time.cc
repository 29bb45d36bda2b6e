#include "cryptoki/call_time.h"

#include <algorithm>

namespace p11ha::cryptoki {
namespace {

// Between a try and what follows from it.
constexpr std::chrono::milliseconds kAtOnce{100};

struct Times {
  base::Monotonic began;
  base::Monotonic failed;
  bool same = false;
};
thread_local constinit Times times{};

base::Monotonic now() { return std::chrono::steady_clock::now(); }

}  // namespace

SameCall::SameCall(bool triedBefore) : isWithin_(times.same), outer_(times.began) {
  // A try on a member of this process is not noted: what is may be of an earlier call.
  const base::Monotonic present = now();
  if (!triedBefore || present - times.failed > kAtOnce) times.began = present;
  times.same = true;
}

SameCall::~SameCall() {
  times = {};
  if (!isWithin_) return;
  times.began = outer_;
  times.same = true;
}

bool SameCall::lasts(base::Monotonic::duration longerThan) const { return now() - times.began > longerThan; }

base::Monotonic::duration SameCall::left(base::Monotonic::duration of) const {
  return std::max(base::Monotonic::duration::zero(), of - (now() - times.began));
}

base::Monotonic callBegan() {
  if (!times.same) times.began = now();
  return times.began;
}

void callFailed() { times.failed = now(); }

}  // namespace p11ha::cryptoki
