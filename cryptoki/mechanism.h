// mechanisms.def as a table. Constant: any thread, nothing fails.
#pragma once

#include "cryptoki/mechanism_parameter.h"

namespace p11ha::cryptoki {

/// A row of mechanisms.def. Static storage.
struct MechanismInfo {
  CK_MECHANISM_TYPE type = 0;
  std::string_view name;
  ParameterKind parameter = ParameterKind::Unknown;
};

/// The row of a mechanism, or nullptr if the table has none (vendor mechanisms other than NSS's).
const MechanismInfo* mechanismInfo(CK_MECHANISM_TYPE type);

/// All rows, by type.
std::span<const MechanismInfo> allMechanisms();

inline bool isKnownMechanism(CK_MECHANISM_TYPE type) { return mechanismInfo(type) != nullptr; }

/// For messages, "CKM_AES_GCM"; "unknown mechanism" where there is none (show the number with it).
std::string_view mechanismName(CK_MECHANISM_TYPE type);

}  // namespace p11ha::cryptoki
