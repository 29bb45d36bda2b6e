#include "pkcs11/extensions.h"

#include <algorithm>
#include <string_view>

#include "pkcs11/dispatch.h"

namespace p11ha::pkcs11::extension {
namespace {

// What does not fit is cut: the field ends with a NUL, as its readers print it.
template <std::size_t N>
void write(CK_CHAR (&field)[N], std::string_view text) {
  std::copy_n(text.begin(), std::min(text.size(), N - 1), field);
}

CK_RV haState(CK_SLOT_ID slot, CK_HA_STATE_PTR state) {
  const Entry entry;
  if (!entry) return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (state == nullptr) return CKR_ARGUMENTS_BAD;
  const ha::VirtualToken* const token = entry->token(slot);
  if (token == nullptr) return CKR_SLOT_ID_INVALID;
  if (token->face() != ha::Face::Group) return CKR_FUNCTION_NOT_SUPPORTED;
  const ha::GroupStatus status = token->status();
  *state = {};
  write(state->groupSerial, status.serial);
  for (const ha::MemberStatus& member : status.members) {
    if (state->listSize == std::size(state->memberList)) break;
    CK_HA_MEMBER& row = state->memberList[state->listSize++];
    write(row.memberSerial, member.serial);
    row.memberStatus = member.state.phase == ha::Phase::Active ? CKR_OK : CKR_DEVICE_ERROR;
  }
  return CKR_OK;
}

}  // namespace

CK_RV GetHAState(CK_SLOT_ID slot, CK_HA_STATE_PTR state) {
  const base::Uncancelled uncancelled;
  return detail::guarded([&] { return haState(slot, state); });
}

}  // namespace p11ha::pkcs11::extension
