// Return codes: their names, and what each says of the member that answered it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cryptoki/pkcs11.h"

namespace p11ha::cryptoki {

/// DESIGN.md, "Which rv means that the member is gone".
enum class RvClass : std::uint8_t {
  Application,  // the answer is the application's
  Gone,         // the member cannot serve
  SessionGone,  // on a session of ours: open another on the same member once, then as Gone
  NotLoggedIn,  // while we believe to be logged in: the member was deactivated
  LookAgain,    // for a handle we hold: find the object once more, then as Application
  Ask,          // may be either: probe the member (cryptoki/probe.h)
  Suspect,      // Gone, or a well member's word for bad input: probe it, then ask another
};

/// Pure; any thread.
RvClass classify(CK_RV rv);

/// "CKR_DEVICE_ERROR"; "CKR_VENDOR_DEFINED+0x..." and "CKR_0x..." where the standard has no name. Any thread.
std::string returnCodeName(CK_RV rv);

/// The code of a name, or of a number in decimal or 0x notation; nothing if it is neither.
std::optional<CK_RV> findReturnCode(std::string_view text);

}  // namespace p11ha::cryptoki
