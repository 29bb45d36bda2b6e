#include "ha/domain/transfer.h"

#include "cryptoki/attribute_reader.h"
#include "ha/judge.h"

namespace p11ha::ha::domain {

using cryptoki::Outcome;
using cryptoki::Template;

namespace {

Copied failedAt(Copied::Result lost, const Outcome& outcome, const std::string& what) {
  return {isLoss(outcome) ? lost : Copied::Result::Refused, CK_INVALID_HANDLE, answered(what, outcome).text, outcome};
}

}  // namespace

std::optional<Copied> sendKey(const TransferEnd& source, CK_OBJECT_HANDLE object, const Kind& kind, bool asTokenObject,
                              Sent& sent) {
  Template wanted;
  Outcome outcome = cryptoki::readForCopy(source.token.member, source.token.session, object, kind.carries,
                                          cryptoki::CopyValue::Without, wanted);
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::SourceLost, outcome, "C_GetAttributeValue");
  wanted.setBool(CKA_TOKEN, asTokenObject);
  // SoftHSM 2.6.1 wants each attribute of UNWRAP_TEMPLATE to be given, once and right, where the standard would add
  // what is left out: what the source does not show (its default) is given all the same. In front: after
  // MODIFIABLE=false nothing may follow.
  Template complete;
  for (const CK_ATTRIBUTE_TYPE type : {CKA_SENSITIVE, CKA_PRIVATE}) {
    if (!wanted.has(type)) complete.addBool(type, true);
  }
  if (!wanted.has(CKA_DERIVE)) complete.addBool(CKA_DERIVE, kind.derive);
  // For a key that was not sensitive at its source and could be wrapped by a trusted key only.
  if (wanted.has(CKA_SENSITIVE)) wanted.setBool(CKA_SENSITIVE, true);
  complete.append(wanted);

  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
  outcome = source.token.wrap(mechanism, source.domainKey, object, sent.wrapped);
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::SourceLost, outcome, "C_WrapKey");
  sent.wanted = std::move(complete);
  return std::nullopt;
}

Copied receiveKey(const TransferEnd& target, Sent& sent) {
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
  Copied copied;
  const Outcome outcome =
      target.token.unwrap(mechanism, target.domainKey, sent.wrapped, std::move(sent.wanted), copied.handle);
  if (outcome.rv != CKR_OK) return failedAt(Copied::Result::TargetLost, outcome, "C_UnwrapKey");
  return copied;
}

Copied transferKey(const TransferEnd& source, CK_OBJECT_HANDLE object, const TransferEnd& target, const Kind& kind,
                   bool asTokenObject) {
  Sent sent;
  if (auto failed = sendKey(source, object, kind, asTokenObject, sent)) return *failed;
  return receiveKey(target, sent);
}

}  // namespace p11ha::ha::domain
