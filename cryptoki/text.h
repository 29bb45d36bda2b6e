// The blank-padded text fields of the standard's structures (PKCS #11 v3.0, section 3).
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "cryptoki/pkcs11.h"

namespace p11ha::cryptoki {

/// The text of a field without its padding (blanks, or the NULs that some modules use).
template <std::size_t N>
std::string unpad(const CK_UTF8CHAR (&field)[N]) {
  std::string text(reinterpret_cast<const char*>(field), N);
  text.erase(std::find(text.begin(), text.end(), '\0'), text.end());
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

/// Fills a field, cutting what does not fit.
template <std::size_t N>
void pad(CK_UTF8CHAR (&field)[N], std::string_view text) {
  const auto end = std::copy_n(text.begin(), std::min(N, text.size()), field);
  std::fill(end, field + N, static_cast<CK_UTF8CHAR>(' '));
}

}  // namespace p11ha::cryptoki
