#include "ha/wrapping.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

namespace {
constexpr CK_ULONG kMaxWrapped = CK_ULONG{1} << 20;  // what a member may make us allocate for a wrapped key
constexpr CK_ULONG kUsual = 4096;                    // enough for most: asked for a length, a member may wrap as well
}  // namespace

Outcome wrapKey(cryptoki::Member& member, CK_SESSION_HANDLE session, CK_MECHANISM& mechanism, CK_OBJECT_HANDLE with,
                CK_OBJECT_HANDLE key, base::SecureBytes& wrapped) {
  CK_ULONG length = kUsual;
  wrapped.clear();
  wrapped.resize(length);
  const auto wrap = [&] {
    return member.execute(makeCall<Fn::WrapKey>(session, &mechanism, with, key, wrapped.data(), &length));
  };
  Outcome outcome = wrap();
  if (outcome.rv == CKR_BUFFER_TOO_SMALL) {
    // What it wants now need not be told.
    outcome = member.execute(makeCall<Fn::WrapKey>(session, &mechanism, with, key, nullptr, &length));
    if (outcome.rv == CKR_OK && length > kMaxWrapped) outcome = {CKR_GENERAL_ERROR};
    if (outcome.rv == CKR_OK) {
      wrapped.resize(length);
      outcome = wrap();
    }
  }
  if (outcome.rv == CKR_OK && length > wrapped.size()) outcome = {CKR_GENERAL_ERROR};
  wrapped.resize(outcome.rv == CKR_OK ? length : 0);
  return outcome;
}

}  // namespace p11ha::ha
