// Chrystoki.conf or crystoki.ini as a lossless document: what is not changed is written back byte for byte.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/diagnostic.h"
#include "config/outline.h"

namespace p11ha::config {

struct Entry {
  std::string key;    ///< as the file spells it
  std::string value;  ///< without surrounding blanks and quotes
  std::size_t line;   ///< from 1
};

struct Done {};
/// Done, or what stands against the change, as text for the user; then nothing has been changed.
using Edit = base::Result<Done, std::string>;

/// The bytes of a configuration file and what is found in them (the grammar: config/outline.h; luna-facts,
/// "Configuration file"). Section names match regardless of case and blanks, keys regardless of case. Where a section
/// or a key is there twice, the first match wins.
///
/// A value type: copies are independent. One thread at a time; reading alone may be shared.
/// Time is linear in the size of the text, for each change too.
class Document {
 public:
  /// Takes any bytes. `file` is named in diagnostics, and its ending (.ini) decides on the format of a text that shows
  /// none. Cannot fail: what does not fit the grammar is kept as it is, and reported by diagnose().
  static Document parse(std::string text, std::string file = {});

  /// The bytes to write back.
  const std::string& text() const { return text_; }
  const std::string& file() const { return file_; }
  Format format() const { return outline_.format; }

  /// The value of the first such key; empty where it has none; nullopt where there is no such key.
  std::optional<std::string> get(std::string_view section, std::string_view key) const;

  /// All entries of a section, in their order, repeated keys too.
  std::vector<Entry> entries(std::string_view section) const;

  /// The names of all sections as they are spelled, in their order.
  std::vector<std::string> sections() const;
  bool hasSection(std::string_view section) const;

  /// Changes the value of the first such key, or inserts the key, and the section where it is missing. Comments, order,
  /// spelling and spacing stay; a new line looks like its neighbours. Quotes are written where the value needs them.
  /// Refused: a value that no line of this format can hold (control characters, both kinds of quotes around a `;`), a
  /// key or section name that would not be read back as such.
  Edit set(std::string_view section, std::string_view key, std::string_view value);

  /// Appends an empty section. Nothing to do where there is one of this name.
  Edit addSection(std::string_view section);

  /// Removes every such key with its comment, also where that goes on in lines below it. False: there was none.
  bool eraseKey(std::string_view section, std::string_view key);

  /// Removes every section of this name with all that is in it. False: there was none.
  bool eraseSection(std::string_view section);

  /// Ends the last line where it has no end of its own.
  void endLastLine();

  /// What shows that the text ends before it was written to its end, whichever section it ends in; nullopt: nothing
  /// does. A text that was cut off between two sections shows nothing.
  std::optional<Diagnostic> unfinished() const;

  /// Reports what does not fit the grammar, in those sections for which `concerns` is true, and outside of all.
  template <class Concerns>
  void diagnose(Diagnostics& to, Concerns concerns) const {
    for (const Problem& problem : outline_.problems) {
      if (problem.section == Problem::kNoSection || concerns(sectionName(problem.section)) ||
          (problem.kind == Problem::Kind::NestedSection && concerns(sectionName(problem.section + 1)))) {
        report(problem, to);
      }
    }
  }

 private:
  struct Style {
    std::string indent;
    std::string equals;
  };
  struct Place {
    std::size_t at;
    bool breaksLine;  ///< something precedes it on its line
  };

  Document(std::string text, std::string file);

  std::string_view keyOf(const OutlineEntry& entry) const;
  std::string_view valueOf(const OutlineEntry& entry) const;
  std::string_view sectionName(std::size_t index) const { return outline_.sections[index].name.in(text_); }
  std::optional<std::size_t> findSection(std::string_view section) const;
  std::optional<std::size_t> findEntry(std::string_view section, std::string_view key) const;
  bool differsOnlyBy(const Document& before, std::size_t section, std::string_view key, std::string_view value) const;
  Edit change(std::size_t entry, std::string_view value);
  Edit insert(std::size_t section, std::string_view key, std::string_view value);
  Style styleFor(const OutlineSection& section) const;
  Place placeFor(const OutlineSection& section) const;
  std::string_view lineEnd() const;
  std::size_t afterLine(std::size_t offset) const;
  std::size_t afterContinuation(std::size_t entry) const;
  void report(const Problem& problem, Diagnostics& to) const;

  std::string text_;
  std::string file_;
  Outline outline_;
};

}  // namespace p11ha::config
