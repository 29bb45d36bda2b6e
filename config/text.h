// Bytes of a configuration file as ASCII text: blanks, case, quotes. Locale plays no part. Pure; any thread; cannot
// fail.
#pragma once

#include <string>
#include <string_view>

namespace p11ha::config {

/// A blank inside a line. '\r' is one, so that the CR of a CRLF never becomes part of a value.
constexpr bool isBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

constexpr bool isControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

/// Without blanks at both ends.
std::string_view trimmed(std::string_view text);

/// ASCII letters in lower case, all else as it is.
std::string lowered(std::string_view text);

/// Equal regardless of the case of ASCII letters.
bool equalsIgnoringCase(std::string_view a, std::string_view b);

/// Whether two section names are the same: regardless of case and blanks, since "LunaSA Client" is met as
/// "LunaSAClient".
bool sameSection(std::string_view a, std::string_view b);

/// Without the quotes, single or double, that stand around the whole text. Text that has the same quote inside is left
/// as it is: its outer quotes need not belong together ('a' 'b').
std::string_view unquoted(std::string_view text);

}  // namespace p11ha::config
