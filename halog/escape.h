// Foreign text made fit for one line of a log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace p11ha::halog {

/// Longer texts are cut there, with "..." after the cut, so that an attribute of a megabyte is not a record of one.
inline constexpr std::size_t kMaxTextBytes = 512;

/// Appends `text` to `out` so that it stays one line, valid UTF-8 and what it looks like: a quote and a backslash get a
/// backslash; control characters, bytes that are not UTF-8, line and paragraph separators and the characters that turn
/// the reading direction become \xHH for each byte. Pure; any thread. May throw std::bad_alloc.
void appendEscaped(std::string& out, std::string_view text);

/// The same of a whole line of a log, for a terminal: in it quotes and backslashes stay, as they are escaped already
/// where they had to be, and nothing is cut.
void appendHarmless(std::string& out, std::string_view line);

}  // namespace p11ha::halog
