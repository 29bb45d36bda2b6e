#include "cryptoki/probe.h"

#include "cryptoki/return_codes.h"

namespace p11ha::cryptoki {

Health probe(Member& member, CK_SESSION_HANDLE session) {
  Health health;
  CK_SESSION_INFO info{};
  const Outcome asked = member.execute(makeCall<Fn::GetSessionInfo>(session, &info));
  if (asked.fate == Fate::Answered && asked.rv == CKR_OK) {
    health.sessionValid = true;
    health.userLoggedIn = info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS;
  } else if (asked.fate != Fate::Answered || classify(asked.rv) != RvClass::SessionGone) {
    health.failure = asked;
    return health;
  }
  CK_TOKEN_INFO token{};
  const Outcome present = member.execute(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &token));
  health.alive = present.fate == Fate::Answered && present.rv == CKR_OK;
  if (!health.alive) health.failure = present;
  return health;
}

}  // namespace p11ha::cryptoki
