// The keys p11ha reads, described once: reading, checking, the warning for unknown keys, and the texts of errors all
// come from one table (schema.cc), where adding a key means adding a row.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "config/document.h"

namespace p11ha::config {

/// A key as the table has it, for help texts and documentation.
struct KeyDescription {
  std::string section;
  std::string name;      ///< "NN" stands for a number, "<label>" for the label of a group
  std::string alias;     ///< another spelling that is read too, or empty
  std::string expected;  ///< "a whole number from 1 to 1200"
  std::string fallback;  ///< the default as one would write it; empty where the key has none
};

/// All keys, by section, in the order of the table. Any thread; cannot fail.
std::vector<KeyDescription> describeKeys();

/// What read() would have against `key = value` in `section`, taken alone: "expected a whole number from 1 to 1200,
/// found "x"". nullopt where nothing, and for sections that p11ha does not read. Any thread; cannot fail.
std::optional<std::string> objection(std::string_view section, std::string_view key, std::string_view value);

/// Which one of a repeated key: the NN, or the label, that its name holds.
struct Place {
  unsigned number = 0;
  std::string label;

  friend bool operator<(const Place& a, const Place& b) {
    return std::tie(a.number, a.label) < std::tie(b.number, b.label);
  }
};

/// The key `name` of the table (NN: `place.number`, <label>: `place.label`) as the document spells it, an alias too; as
/// the table has it where the document has none. Any thread; cannot fail.
std::string spelledIn(const Document& document, std::string_view section, std::string_view name, const Place& place);

/// The numbers NN under which the document has the key `name` of the table, in its order.
std::vector<unsigned> numbersOf(const Document& document, std::string_view section, std::string_view name);

/// Document::set() of that key; a number is written without leading zeros, a word as the table spells it. Refused, too,
/// where read() would object to the value: "expected ...".
Edit put(Document& document, std::string_view section, std::string_view name, const Place& place,
         std::string_view value);

/// Document::eraseKey() of that key.
bool drop(Document& document, std::string_view section, std::string_view name, const Place& place);

/// Whether read() looks at the section.
bool isOurSection(std::string_view section);

}  // namespace p11ha::config
