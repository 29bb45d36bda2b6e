// The grammar of Chrystoki.conf and crystoki.ini: where in the bytes the sections, keys and values are.
//
// Chrystoki.conf, as its vendor's simple reader takes it: a section runs from a line with its name and `{` (`=` between
// them or not) to a line with `}`; a value is the text after `=` up to the first `;`, the rest of the line is a
// comment. Beyond that, so that what people write is read as they meant it:
// - `//`, `#` and `;` begin a comment where a line, or what follows `{` or `}`, begins with them;
// - ` //` (after a blank) ends a value, so that URLs and paths (/tmp//x) stay whole; one that stands where the value
//   begins and goes on without a blank is a value (`= //server/share;`);
// - a value without `;` ends with its line, at ` #`, or at a ` }` that nothing follows;
// - in a value with quotes around it nothing but the closing quote counts, if `;`, a comment or the end follows that;
// - `}` may follow the `;` of the last entry, and a whole section may stand on one line;
// - a section that begins inside another one ends that one (and is a Problem).
// crystoki.ini: `[Section]`, `Key=Value`; lines that begin with `;`, `#` or `//` are comments, and so is what follows
// a blank and one of these; one `;` at the end is taken for a habit from the other format.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace p11ha::config {

enum class Format {
  Conf,  ///< Chrystoki.conf: `Section = {`, `key = value;`, `}`
  Ini,   ///< crystoki.ini: `[Section]`, `Key=Value`
};

/// UTF-8's; skipped where a text begins with it.
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// Offsets [begin, end) into the bytes.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;

  std::string_view in(std::string_view text) const { return text.substr(begin, end - begin); }
};

struct OutlineEntry {
  Span key;
  Span value;            ///< with its quotes; where it is empty, the place at which one is to be written
  std::size_t end = 0;   ///< after the `;`, or after the value where there is none
  std::size_t line = 0;  ///< from 1
  bool alone = false;    ///< nothing but a comment shares its line
};

struct OutlineSection {
  static constexpr std::size_t kOpen = static_cast<std::size_t>(-1);

  Span name;
  std::size_t line = 0;        ///< of the header, from 1
  std::size_t begin = 0;       ///< of the header: its line's, or the name's where something else precedes it
  std::size_t body = 0;        ///< after the `{`, or after the header's line in an .ini
  std::size_t contentEnd = 0;  ///< after the last line, with its end, that holds the header, an entry or stray text
  std::size_t close = kOpen;   ///< of the `}`; kOpen where none ends the section (always so in an .ini)
  std::size_t firstEntry = 0;  ///< its entries are [firstEntry, lastEntry)
  std::size_t lastEntry = 0;
};

/// What does not fit the grammar. The outline goes on after it.
struct Problem {
  enum class Kind {
    StrayText,       ///< neither entry nor comment
    OutsideSection,  ///< an entry, or stray text, before or between sections
    StrayClose,      ///< `}` where no section is open
    NestedSection,   ///< a section begins before the one before it has ended
    Unterminated,    ///< the file ends inside a section
    NulByte,         ///< the first NUL, in no section: not a text file, or one in UTF-16
  };
  static constexpr std::size_t kNoSection = static_cast<std::size_t>(-1);

  Kind kind;
  std::size_t line;
  std::size_t section;  ///< the one it was met in, or kNoSection
};

struct Outline {
  Format format = Format::Conf;
  std::vector<OutlineSection> sections;
  std::vector<OutlineEntry> entries;
  std::vector<Problem> problems;
};

/// Reads any bytes, in time and space linear in their number. Pure; any thread; cannot fail.
/// The first section header decides on the format; `fallback` is taken where there is none.
Outline outline(std::string_view text, Format fallback);

}  // namespace p11ha::config
