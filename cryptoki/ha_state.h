// CA_GetHAState: the state of a group, as clients of the Luna HA client ask for it ("Status query" of luna-facts.md).
#pragma once

#include "cryptoki/pkcs11.h"

#pragma GCC visibility push(default)
extern "C" {

/// A member of the group. What is not there is zero.
struct CK_HA_MEMBER {
  CK_CHAR memberSerial[20];  ///< ends with a NUL
  CK_RV memberStatus;        ///< CKR_OK: it serves, or stands by; CKR_DEVICE_ERROR: it does not
};

/// A group. Plain memory of the caller's.
struct CK_HA_STATUS {
  CK_CHAR groupSerial[20];      ///< ends with a NUL
  CK_HA_MEMBER memberList[32];  ///< in the order of the configuration
  CK_ULONG listSize;            ///< how many of them are members
};
using CK_HA_STATE_PTR = CK_HA_STATUS*;
using CK_CA_GetHAState = CK_RV (*)(CK_SLOT_ID, CK_HA_STATE_PTR);

/// Exported by libp11ha.so, in no function list. Any thread; makes no call on a member. CKR_CRYPTOKI_NOT_INITIALIZED,
/// CKR_ARGUMENTS_BAD (NULL), CKR_SLOT_ID_INVALID (no such slot), CKR_FUNCTION_NOT_SUPPORTED (not the slot of a group).
CK_RV CA_GetHAState(CK_SLOT_ID slotID, CK_HA_STATE_PTR pState);
}
#pragma GCC visibility pop

namespace p11ha::cryptoki {

static_assert(sizeof(CK_HA_MEMBER) == 32 && offsetof(CK_HA_MEMBER, memberStatus) == 24);
static_assert(offsetof(CK_HA_STATUS, memberList) == 24 && offsetof(CK_HA_STATUS, listSize) == 1048);
static_assert(sizeof(CK_HA_STATUS) == 1056);

}  // namespace p11ha::cryptoki
