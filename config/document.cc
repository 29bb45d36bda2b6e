#include "config/document.h"

#include <utility>

#include "config/text.h"

namespace p11ha::config {

namespace {

Format formatByName(std::string_view file) {
  return file.size() >= 4 && equalsIgnoringCase(file.substr(file.size() - 4), ".ini") ? Format::Ini : Format::Conf;
}

}  // namespace

Document::Document(std::string text, std::string file)
    : text_(std::move(text)), file_(std::move(file)), outline_(outline(text_, formatByName(file_))) {}

Document Document::parse(std::string text, std::string file) { return {std::move(text), std::move(file)}; }

std::string_view Document::keyOf(const OutlineEntry& entry) const { return unquoted(entry.key.in(text_)); }

std::string_view Document::valueOf(const OutlineEntry& entry) const { return unquoted(entry.value.in(text_)); }

std::optional<std::size_t> Document::findSection(std::string_view section) const {
  for (std::size_t i = 0; i < outline_.sections.size(); ++i) {
    if (sameSection(sectionName(i), section)) return i;
  }
  return std::nullopt;
}

std::optional<std::size_t> Document::findEntry(std::string_view section, std::string_view key) const {
  for (std::size_t i = 0; i < outline_.sections.size(); ++i) {
    if (!sameSection(sectionName(i), section)) continue;
    for (std::size_t e = outline_.sections[i].firstEntry; e < outline_.sections[i].lastEntry; ++e) {
      if (equalsIgnoringCase(keyOf(outline_.entries[e]), key)) return e;
    }
  }
  return std::nullopt;
}

std::optional<std::string> Document::get(std::string_view section, std::string_view key) const {
  const auto entry = findEntry(section, key);
  if (!entry) return std::nullopt;
  return std::string(valueOf(outline_.entries[*entry]));
}

std::vector<Entry> Document::entries(std::string_view section) const {
  std::vector<Entry> result;
  for (std::size_t i = 0; i < outline_.sections.size(); ++i) {
    if (!sameSection(sectionName(i), section)) continue;
    for (std::size_t e = outline_.sections[i].firstEntry; e < outline_.sections[i].lastEntry; ++e) {
      const OutlineEntry& entry = outline_.entries[e];
      result.push_back({std::string(keyOf(entry)), std::string(valueOf(entry)), entry.line});
    }
  }
  return result;
}

std::vector<std::string> Document::sections() const {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < outline_.sections.size(); ++i) result.emplace_back(sectionName(i));
  return result;
}

bool Document::hasSection(std::string_view section) const { return findSection(section).has_value(); }

std::optional<Diagnostic> Document::unfinished() const {
  for (const Problem& problem : outline_.problems) {
    if (problem.kind != Problem::Kind::Unterminated && problem.kind != Problem::Kind::NulByte) continue;
    Diagnostics found(file_);
    report(problem, found);
    return found.take().front();
  }
  // Nothing but the end of its line ends a value there.
  const bool endsInLine = !text_.empty() && text_.back() != '\n';
  if (format() != Format::Ini || !endsInLine || outline_.entries.empty()) return std::nullopt;
  const OutlineEntry& last = outline_.entries.back();
  if (text_.find('\n', last.key.begin) != std::string::npos) return std::nullopt;
  return Diagnostic{Severity::Warning, file_, last.line, std::string(keyOf(last)),
                    "expected the end of the line after it"};
}

void Document::report(const Problem& problem, Diagnostics& to) const {
  const bool conf = format() == Format::Conf;
  const auto name = [&](std::size_t index) { return inQuotes(sectionName(index)); };
  switch (problem.kind) {
    case Problem::Kind::StrayText:
      to.warning(problem.line, "", conf ? "expected \"key = value;\" or \"}\"" : "expected \"Key=Value\"");
      return;
    case Problem::Kind::OutsideSection:
      to.warning(problem.line, "", conf ? "expected \"Section = {\" before it" : "expected \"[Section]\" before it");
      return;
    case Problem::Kind::StrayClose:
      to.warning(problem.line, "", "expected no \"}\" outside of a section");
      return;
    case Problem::Kind::NestedSection:
      to.warning(problem.line, "",
                 "expected \"}\" of section " + name(problem.section) + " before section " + name(problem.section + 1) +
                     " begins; it is taken to end here");
      return;
    case Problem::Kind::Unterminated:
      to.warning(problem.line, "",
                 "expected \"}\" of section " + name(problem.section) + " before the end of the file");
      return;
    case Problem::Kind::NulByte:
      to.error(problem.line, "", "expected text (ASCII or UTF-8), found a NUL byte",
               "what cannot be read for it is ignored");
      return;
  }
}

}  // namespace p11ha::config
