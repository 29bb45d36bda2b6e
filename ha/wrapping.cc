#include "ha/wrapping.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

namespace {
constexpr CK_ULONG kMaxWrapped = CK_ULONG{1} << 20;  // what a member may make us allocate for a wrapped key
}

Outcome wrapKey(cryptoki::Member& member, CK_SESSION_HANDLE session, CK_MECHANISM& mechanism, CK_OBJECT_HANDLE with,
                CK_OBJECT_HANDLE key, base::SecureBytes& wrapped) {
  CK_ULONG length = 0;
  wrapped.clear();
  Outcome outcome = member.execute(makeCall<Fn::WrapKey>(session, &mechanism, with, key, nullptr, &length));
  if (outcome.rv != CKR_OK) return outcome;
  if (length > kMaxWrapped) return {CKR_GENERAL_ERROR};
  wrapped.resize(length);
  outcome = member.execute(makeCall<Fn::WrapKey>(session, &mechanism, with, key, wrapped.data(), &length));
  if (outcome.rv == CKR_OK && length > wrapped.size()) outcome = {CKR_GENERAL_ERROR};
  wrapped.resize(outcome.rv == CKR_OK ? length : 0);
  return outcome;
}

}  // namespace p11ha::ha
