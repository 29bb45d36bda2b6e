#include "cryptoki/call_time.h"

namespace p11ha::cryptoki {
namespace {

struct Times {
  base::Monotonic began;
  bool same = false;
};
thread_local constinit Times times{};

base::Monotonic now() { return std::chrono::steady_clock::now(); }

}  // namespace

SameCall::SameCall(bool triedBefore) {
  // A member that takes no notice of it (one of this process) leaves it as it was.
  if (!triedBefore || times.began == base::Monotonic{}) times.began = now();
  times.same = true;
}

SameCall::~SameCall() { times = {}; }

bool SameCall::lasts(base::Monotonic::duration longerThan) const { return now() - times.began > longerThan; }

base::Monotonic callBegan() {
  if (!times.same) times.began = now();
  return times.began;
}

}  // namespace p11ha::cryptoki
