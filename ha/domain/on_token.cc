#include "ha/domain/on_token.h"

#include "cryptoki/attribute_reader.h"
#include "cryptoki/return_codes.h"
#include "ha/wrapping.h"

namespace p11ha::ha::domain {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;

Problem answered(const std::string& what, const Outcome& outcome) {
  return {what + " answers " + cryptoki::returnCodeName(outcome.rv), outcome};
}

Outcome OnToken::generateKey(CK_MECHANISM_TYPE type, Template wanted, CK_OBJECT_HANDLE& made) const {
  CK_MECHANISM mechanism{type, nullptr, 0};
  return member.execute(makeCall<Fn::GenerateKey>(session, &mechanism, wanted.data(), wanted.count(), &made));
}

Outcome OnToken::generatePair(CK_MECHANISM_TYPE type, Template forPublic, Template forPrivate,
                              CK_OBJECT_HANDLE& publicKey, CK_OBJECT_HANDLE& privateKey) const {
  CK_MECHANISM mechanism{type, nullptr, 0};
  return member.execute(makeCall<Fn::GenerateKeyPair>(session, &mechanism, forPublic.data(), forPublic.count(),
                                                      forPrivate.data(), forPrivate.count(), &publicKey, &privateKey));
}

Outcome OnToken::create(Template wanted, CK_OBJECT_HANDLE& made) const {
  return member.execute(makeCall<Fn::CreateObject>(session, wanted.data(), wanted.count(), &made));
}

Outcome OnToken::copy(CK_OBJECT_HANDLE object, Template changes, CK_OBJECT_HANDLE& made) const {
  return member.execute(makeCall<Fn::CopyObject>(session, object, changes.data(), changes.count(), &made));
}

Outcome OnToken::change(CK_OBJECT_HANDLE object, Template changes) const {
  return member.execute(makeCall<Fn::SetAttributeValue>(session, object, changes.data(), changes.count()));
}

Outcome OnToken::destroy(CK_OBJECT_HANDLE object) const {
  return member.execute(makeCall<Fn::DestroyObject>(session, object));
}

Outcome OnToken::wrap(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key,
                      base::SecureBytes& wrapped) const {
  return wrapKey(member, session, mechanism, with, key, wrapped);
}

Outcome OnToken::unwrap(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE with, base::SecureBytes& wrapped, Template wanted,
                        CK_OBJECT_HANDLE& made) const {
  return member.execute(makeCall<Fn::UnwrapKey>(session, &mechanism, with, wrapped.data(), wrapped.size(),
                                                wanted.data(), wanted.count(), &made));
}

Outcome OnToken::read(CK_OBJECT_HANDLE object, std::span<const CK_ATTRIBUTE_TYPE> types, Template& out) const {
  return cryptoki::readAttributes(member, session, object, types, out);
}

Outcome OnToken::mechanismInfo(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO& info) const {
  // The slot is the token's own, whatever the call says.
  return member.execute(makeCall<Fn::GetMechanismInfo>(CK_SLOT_ID{0}, type, &info));
}

}  // namespace p11ha::ha::domain
