#include "cryptoki/return_codes.h"

#include <charconv>
#include <cstdio>

namespace p11ha::cryptoki {
namespace {

struct Row {
  CK_RV rv;
  std::string_view name;
  RvClass rvClass;
};

constexpr Row kRows[] = {
#define RV(name, rvClass) {name, #name, RvClass::rvClass},
#include "cryptoki/return_codes.def"
#undef RV
};

const Row* find(CK_RV rv) {
  for (const Row& row : kRows) {
    if (row.rv == rv) return &row;
  }
  return nullptr;
}

}  // namespace

RvClass classify(CK_RV rv) {
  const Row* row = find(rv);
  return row == nullptr ? RvClass::Application : row->rvClass;
}

std::string returnCodeName(CK_RV rv) {
  if (const Row* row = find(rv)) return std::string(row->name);
  char text[48];
  if ((rv & CKR_VENDOR_DEFINED) != 0) {
    std::snprintf(text, sizeof text, "CKR_VENDOR_DEFINED+0x%lx", rv & ~CKR_VENDOR_DEFINED);
  } else {
    std::snprintf(text, sizeof text, "CKR_0x%08lx", rv);
  }
  return text;
}

std::optional<CK_RV> findReturnCode(std::string_view text) {
  for (const Row& row : kRows) {
    if (row.name == text) return row.rv;
  }
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  CK_RV value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace p11ha::cryptoki
