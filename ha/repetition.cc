#include "ha/repetition.h"

#include <chrono>
#include <thread>

#include "cryptoki/probe.h"
#include "cryptoki/return_codes.h"

namespace p11ha::ha {

namespace {

constexpr std::chrono::milliseconds kPause{10};

}  // namespace

bool Repetition::isWorthIt(cryptoki::Member& member, CK_SESSION_HANDLE session, CK_RV rv) {
  if (cryptoki::classify(rv) != cryptoki::RvClass::Ask || left_ == 0) return false;
  if (!cryptoki::probe(member, session).alive) return false;
  --left_;
  std::this_thread::sleep_for(kPause);
  return true;
}

}  // namespace p11ha::ha
