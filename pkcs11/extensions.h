// What libp11ha.so exports beside the functions of the standard: the CA rows of functions.def, under the names they
// have there.
#pragma once

#include "cryptoki/ha_state.h"

namespace p11ha::pkcs11::extension {

/// CA_GetHAState, as cryptoki/ha_state.h has it. Any thread. No exception crosses it.
CK_RV GetHAState(CK_SLOT_ID slot, CK_HA_STATE_PTR state);

}  // namespace p11ha::pkcs11::extension
