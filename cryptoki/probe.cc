#include "cryptoki/probe.h"

#include "cryptoki/return_codes.h"

namespace p11ha::cryptoki {

Outcome readTokenInfo(Member& member, CK_TOKEN_INFO& info) {
  return member.execute(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info));
}

Health probe(Member& member, CK_SESSION_HANDLE session) {
  Health health;
  CK_SESSION_INFO info{};
  const Outcome asked = member.execute(makeCall<Fn::GetSessionInfo>(session, &info));
  if (asked.fate == Fate::Answered && asked.rv == CKR_OK) {
    health.sessionValid = true;
    health.userLoggedIn = isUsers(info.state);
  } else if (asked.fate != Fate::Answered || classify(asked.rv) != RvClass::SessionGone) {
    health.failure = asked;
    return health;
  }
  CK_TOKEN_INFO token{};
  const Outcome present = readTokenInfo(member, token);
  health.alive = present.fate == Fate::Answered && present.rv == CKR_OK;
  if (!health.alive) health.failure = present;
  return health;
}

}  // namespace p11ha::cryptoki
