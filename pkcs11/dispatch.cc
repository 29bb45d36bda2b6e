#include "pkcs11/dispatch.h"

#include "cryptoki/text.h"

namespace p11ha::pkcs11::detail {

using cryptoki::Call;
using cryptoki::Fn;

namespace {

CK_RV getInfo(CK_INFO* info) {
  if (info == nullptr) return CKR_ARGUMENTS_BAD;
  *info = {};
  info->cryptokiVersion = {CRYPTOKI_VERSION_MAJOR, CRYPTOKI_VERSION_MINOR};
  info->libraryVersion = {0, 1};
  cryptoki::pad(info->manufacturerID, "p11ha");
  cryptoki::pad(info->libraryDescription, "High-availability PKCS#11");
  return CKR_OK;
}

}  // namespace

CK_RV libraryCall(Entry& entry, const Call& call) {
  switch (call.fn) {
    case Fn::GetInfo:
      return getInfo(call.get<CK_INFO*>(0));
    case Fn::GetSlotList:
      return entry->slotList(call.get<CK_BBOOL>(0), call.get<CK_SLOT_ID*>(1), call.get<CK_ULONG*>(2));
    case Fn::WaitForSlotEvent:
      if (call.get<void*>(2) != nullptr) return CKR_ARGUMENTS_BAD;
      return entry->waitForSlotEvent(call.get<CK_FLAGS>(0), call.get<CK_SLOT_ID*>(1));
    default:
      return CKR_FUNCTION_NOT_SUPPORTED;
  }
}

CK_RV slotCall(Entry& entry, const Call& call) {
  ha::VirtualToken* const token = entry->token(call.slot());
  return token == nullptr ? CKR_SLOT_ID_INVALID : token->call(call);
}

CK_RV closeSession(Entry& entry, CK_SESSION_HANDLE handle) {
  ha::VirtualToken* token = nullptr;
  {
    const Held held(entry->sessions, handle);
    if (!held) return CKR_SESSION_HANDLE_INVALID;
    token = &held.token();
  }
  return token->closeSession(handle);
}

}  // namespace p11ha::pkcs11::detail
