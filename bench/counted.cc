#include "bench/counted.h"

#include <valgrind/callgrind.h>

#include "cryptoki/return_codes.h"

namespace p11ha::bench {
namespace {

// Enough for symbols to be bound, pools to be filled and caches of the module to be as they stay.
constexpr unsigned long kWarmUp = 50;

CK_RV repeat(const Workload& workload, Lane& lane, unsigned long calls) {
  CK_RV wrong = CKR_OK;
  for (unsigned long call = 0; call < calls; ++call) {
    if (const CK_RV rv = workload.run(lane); rv != CKR_OK) [[unlikely]]
      wrong = rv;
  }
  return wrong;
}

}  // namespace

std::string runCounted(const Token::Spec& spec, const Workload& workload, unsigned long calls) {
  auto token = Token::open(spec);
  if (!token) return token.error();
  auto lane = (*token)->openLane(workload);
  if (!lane) return lane.error();
  CK_RV wrong = repeat(workload, *lane, kWarmUp);
  CALLGRIND_TOGGLE_COLLECT;
  if (const CK_RV rv = repeat(workload, *lane, calls); rv != CKR_OK) wrong = rv;
  CALLGRIND_TOGGLE_COLLECT;
  (*token)->close(*lane);
  return wrong == CKR_OK ? "" : std::string(workload.name) + " answers " + cryptoki::returnCodeName(wrong);
}

}  // namespace p11ha::bench
