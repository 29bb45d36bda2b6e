#include "cryptoki/mechanism.h"

#include <algorithm>

namespace p11ha::cryptoki {
namespace {

constexpr MechanismInfo kMechanisms[] = {
#define MECHANISM(name, parameter) {name, #name, ParameterKind::parameter},
#include "cryptoki/mechanisms.def"
};

consteval bool byType() {
  for (std::size_t i = 1; i < std::size(kMechanisms); ++i) {
    if (kMechanisms[i - 1].type >= kMechanisms[i].type) return false;
  }
  return true;
}
static_assert(byType(), "mechanisms.def: not by value, or two rows for one mechanism");

}  // namespace

const MechanismInfo* mechanismInfo(CK_MECHANISM_TYPE type) {
  const auto* found = std::lower_bound(std::begin(kMechanisms), std::end(kMechanisms), type,
                                       [](const MechanismInfo& row, CK_MECHANISM_TYPE t) { return row.type < t; });
  return found != std::end(kMechanisms) && found->type == type ? found : nullptr;
}

std::span<const MechanismInfo> allMechanisms() { return kMechanisms; }

std::string_view mechanismName(CK_MECHANISM_TYPE type) {
  const MechanismInfo* info = mechanismInfo(type);
  return info != nullptr ? info->name : "unknown mechanism";
}

}  // namespace p11ha::cryptoki
