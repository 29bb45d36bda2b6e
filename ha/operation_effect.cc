#include "ha/operation_effect.h"

namespace p11ha::ha {

using cryptoki::Argument;
using cryptoki::Call;
using cryptoki::EffectKind;
using cryptoki::Function;
using cryptoki::Op;
using cryptoki::RoleKind;

namespace {

bool endsMessage(const Function& row, const Call& call) {
  if (const Argument* flags = row.find(RoleKind::Flags))
    return (call.get<CK_FLAGS>(flags->word) & CKF_END_OF_MESSAGE) != 0;
  if (const Argument* output = row.find(RoleKind::OutBytes)) return call.get<CK_ULONG*>(output->word + 1U) != nullptr;
  // The last part is verified against a signature, which stands behind the data.
  return row.argumentCount == 4 && call.get<CK_BYTE*>(row.arguments[3].word) != nullptr;
}

bool ofMessages(Op op) { return op >= Op::MessageEncrypt; }

}  // namespace

Consequence consequence(const Call& call, CK_RV rv) {
  const Function& row = cryptoki::function(call.fn);
  switch (rv) {
    case CKR_FUNCTION_NOT_SUPPORTED:
      return Consequence::None;
    case CKR_OPERATION_NOT_INITIALIZED:
      return row.effect.kind == EffectKind::Dual ? Consequence::Doubtful : Consequence::Over;
    case CKR_SIGNATURE_INVALID:
    case CKR_SIGNATURE_LEN_RANGE:
      if (ofMessages(row.effect.op)) return Consequence::MessageOver;
      return row.effect.op == Op::Verify ? Consequence::Over : Consequence::Doubtful;
    default:
      break;
  }
  if (lengthOnly(row, call, rv)) return Consequence::None;
  if (row.effect.kind == EffectKind::Message) return Consequence::MessageOver;
  if (rv != CKR_OK) return Consequence::Doubtful;
  switch (row.effect.kind) {
    case EffectKind::Whole:
    case EffectKind::Final:
      return Consequence::Over;
    default:
      return ofMessages(row.effect.op) && endsMessage(row, call) ? Consequence::MessageOver : Consequence::Taken;
  }
}

}  // namespace p11ha::ha
