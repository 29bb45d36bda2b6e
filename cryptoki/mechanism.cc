#include "cryptoki/mechanism.h"

#include <array>

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

// A hash table of the rows, open addressing: where a mechanism's row is, plus one; 0 ends the search.
constexpr std::size_t kSlots = 1024;
static_assert(std::size(kMechanisms) < kSlots / 2);
constexpr std::size_t slotOf(CK_MECHANISM_TYPE type) {
  return static_cast<std::uint32_t>(type) * std::uint32_t{0x9e3779b9} >> 22;
}
constexpr auto kIndex = [] {
  std::array<std::uint16_t, kSlots> index{};
  for (std::size_t row = 0; row < std::size(kMechanisms); ++row) {
    std::size_t slot = slotOf(kMechanisms[row].type);
    while (index[slot] != 0) slot = (slot + 1) % kSlots;
    index[slot] = static_cast<std::uint16_t>(row + 1);
  }
  return index;
}();

}  // namespace

const MechanismInfo* mechanismInfo(CK_MECHANISM_TYPE type) {
  for (std::size_t slot = slotOf(type); kIndex[slot] != 0; slot = (slot + 1) % kSlots) {
    const MechanismInfo& row = kMechanisms[kIndex[slot] - 1];
    if (row.type == type) return &row;
  }
  return nullptr;
}

std::span<const MechanismInfo> allMechanisms() { return kMechanisms; }

std::string_view mechanismName(CK_MECHANISM_TYPE type) {
  const MechanismInfo* info = mechanismInfo(type);
  return info != nullptr ? info->name : "unknown mechanism";
}

}  // namespace p11ha::cryptoki
