// How a Document is changed: a candidate text is made, read again, and taken only if it says what it should.
#include <algorithm>
#include <array>
#include <utility>

#include "config/document.h"
#include "config/text.h"

namespace p11ha::config {

namespace {

bool hasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return isControl(c) && c != '\t'; });
}

/// Whether the line that begins at `offset` has a blank one before it.
bool followsBlankLine(std::string_view text, std::size_t offset) {
  if (offset == 0 || text[offset - 1] != '\n') return false;
  std::string_view before = text.substr(0, offset - 1);
  while (!before.empty() && isBlank(before.back())) before.remove_suffix(1);
  return before.empty() || before.back() == '\n';
}

/// The spellings of a value, best first: with the quotes it had, bare, with either kind of quotes.
std::array<std::string, 4> spellings(std::string_view value, std::string_view before) {
  const auto in = [&](std::string_view quote) { return std::string(quote) + std::string(value) + std::string(quote); };
  const bool wasQuoted = unquoted(before).size() != before.size();
  return {wasQuoted ? in(before.substr(0, 1)) : std::string(value), std::string(value), in("\""), in("'")};
}

}  // namespace

std::string_view Document::lineEnd() const {
  const std::size_t first = text_.find('\n');
  if (first == std::string::npos) return format() == Format::Ini ? "\r\n" : "\n";
  return first > 0 && text_[first - 1] == '\r' ? "\r\n" : "\n";
}

std::size_t Document::afterLine(std::size_t offset) const {
  const std::size_t end = text_.find('\n', offset);
  return end == std::string::npos ? text_.size() : end + 1;
}

void Document::endLastLine() {
  if (!text_.empty() && text_.back() != '\n') *this = Document(text_ + std::string(lineEnd()), file_);
}

/// The end of an entry's last line, counting comment lines that go on with its comment: those whose mark stands in the
/// same column (the vendor's example is laid out so).
std::size_t Document::afterContinuation(std::size_t index) const {
  const OutlineEntry& entry = outline_.entries[index];
  const std::size_t lineBegin = text_.rfind('\n', entry.key.begin) + 1;
  std::size_t end = afterLine(entry.end);
  const std::size_t mark = std::string_view(text_).substr(0, end).find_first_of("/#", entry.end);
  if (mark == std::string::npos) return end;
  const std::size_t column = mark - lineBegin;
  while (end < text_.size()) {
    std::size_t first = end;
    while (first < text_.size() && isBlank(text_[first])) ++first;
    if (first == text_.size() || first - end != column || text_[first] != text_[mark]) break;
    if (text_[first] == '/' && text_.compare(first, 2, "//") != 0) break;
    end = afterLine(first);
  }
  return end;
}

/// Whether this says what `before` says, but for one value: that of `key`, changed or new.
bool Document::differsOnlyBy(const Document& before, std::size_t section, std::string_view key,
                             std::string_view value) const {
  const auto& then = before.outline_;
  const auto& now = outline_;
  if (now.format != then.format || now.sections.size() != then.sections.size()) return false;
  if (now.entries.size() - then.entries.size() > 1) return false;
  const std::size_t inserted = now.entries.size() - then.entries.size();
  std::size_t differences = 0;
  for (std::size_t i = 0; i < now.sections.size(); ++i) {
    if (sectionName(i) != before.sectionName(i)) return false;
    std::size_t old = then.sections[i].firstEntry;
    for (std::size_t e = now.sections[i].firstEntry; e < now.sections[i].lastEntry; ++e) {
      const bool isOld = old < then.sections[i].lastEntry;
      const auto& entry = now.entries[e];
      if (isOld && keyOf(entry) == before.keyOf(then.entries[old]) &&
          valueOf(entry) == before.valueOf(then.entries[old])) {
        ++old;
        continue;
      }
      if (i != section || keyOf(entry) != key || valueOf(entry) != value) return false;
      if (inserted == 0) ++old;
      ++differences;
    }
    if (old != then.sections[i].lastEntry) return false;
  }
  return differences <= 1 && differences >= inserted;
}

Edit Document::set(std::string_view section, std::string_view key, std::string_view value) {
  if (hasControl(value)) return base::Failure{std::string("expected a value of one line without control characters")};
  if (const auto entry = findEntry(section, key)) return change(*entry, value);
  Document next = *this;
  if (auto added = next.addSection(section); !added) return added;
  auto inserted = next.insert(*next.findSection(section), key, value);
  if (inserted) *this = std::move(next);
  return inserted;
}

Edit Document::change(std::size_t index, std::string_view value) {
  const OutlineEntry& entry = outline_.entries[index];
  const std::size_t section = static_cast<std::size_t>(
      std::upper_bound(outline_.sections.begin(), outline_.sections.end(), index,
                       [](std::size_t i, const OutlineSection& s) { return i < s.lastEntry; }) -
      outline_.sections.begin());
  const std::size_t end = entry.value.end;
  // A comment may stand right behind an empty value.
  const bool crowded = end < text_.size() && !isBlank(text_[end]) && text_[end] != ';' && text_[end] != '\n';
  for (const std::string& spelling : spellings(value, entry.value.in(text_))) {
    std::string text = text_;
    text.replace(entry.value.begin, end - entry.value.begin, spelling + (crowded ? " " : ""));
    Document next(std::move(text), file_);
    if (!next.differsOnlyBy(*this, section, keyOf(entry), value)) continue;
    if (next.valueOf(next.outline_.entries[index]) != value) continue;
    *this = std::move(next);
    return Done{};
  }
  return base::Failure{"expected a value that one line can hold, not " + inQuotes(value)};
}

/// The indentation and the blanks around `=` of a new line: those of the last entry that has a line of its own, of this
/// section, else of the nearest one before it, else of the first one after it.
Document::Style Document::styleFor(const OutlineSection& section) const {
  const OutlineEntry* model = nullptr;
  for (std::size_t e = section.lastEntry; e > 0 && model == nullptr; --e) {
    if (outline_.entries[e - 1].alone) model = &outline_.entries[e - 1];
  }
  for (std::size_t e = section.lastEntry; e < outline_.entries.size() && model == nullptr; ++e) {
    if (outline_.entries[e].alone) model = &outline_.entries[e];
  }
  Style style{"", format() == Format::Conf ? " = " : "="};
  if (model == nullptr) return style;
  const Span before{text_.rfind('\n', model->key.begin) + 1, model->key.begin};
  const std::string_view blanks = before.in(text_);
  if (std::all_of(blanks.begin(), blanks.end(), isBlank)) style.indent = blanks;
  const Span between{model->key.end, model->value.begin};
  if (model->value.begin < model->value.end) style.equals = between.in(text_);
  return style;
}

/// Where a new line goes: after the last one of the section that is no mere comment, and in any case before the `}`.
Document::Place Document::placeFor(const OutlineSection& section) const {
  std::size_t at = section.contentEnd;
  if (section.lastEntry > section.firstEntry && outline_.entries[section.lastEntry - 1].alone) {
    at = std::max(at, afterContinuation(section.lastEntry - 1));
  }
  if (section.close != OutlineSection::kOpen) {
    const Span before{text_.rfind('\n', section.close) + 1, section.close};
    const std::string_view blanks = before.in(text_);
    if (!std::all_of(blanks.begin(), blanks.end(), isBlank)) return {section.close, true};
    at = std::min(at, before.begin);
  }
  return {at, at > 0 && text_[at - 1] != '\n'};
}

Edit Document::insert(std::size_t section, std::string_view key, std::string_view value) {
  const Style style = styleFor(outline_.sections[section]);
  const Place place = placeFor(outline_.sections[section]);
  for (const std::string& spelling : spellings(value, {})) {
    std::string line(place.breaksLine ? lineEnd() : "");
    line.append(style.indent).append(key).append(style.equals).append(spelling);
    if (format() == Format::Conf) line += ';';
    line += lineEnd();
    std::string text = text_;
    text.insert(place.at, line);
    Document next(std::move(text), file_);
    if (next.outline_.entries.size() != outline_.entries.size() + 1) continue;
    if (!next.differsOnlyBy(*this, section, key, value)) continue;
    *this = std::move(next);
    return Done{};
  }
  return base::Failure{"expected a key and a value that one line can hold, not " + inQuotes(key) + " and " +
                       inQuotes(value)};
}

Edit Document::addSection(std::string_view section) {
  if (hasSection(section)) return Done{};
  const std::string_view end = lineEnd();
  std::string text = text_;
  if (!text.empty() && text.back() != '\n') text += end;
  const bool conf = format() == Format::Conf;
  std::string_view opening = " = {";
  if (!outline_.sections.empty()) {
    const OutlineSection& last = outline_.sections.back();
    if (conf) opening = std::string_view(text_).substr(last.name.end, last.body - last.name.end);
    if (!conf || followsBlankLine(text_, last.begin)) text += end;
  }
  text += conf ? std::string(section) + std::string(opening) : "[" + std::string(section) + "]";
  text += end;
  if (conf) (text += "}") += end;
  Document next(std::move(text), file_);
  const bool fits = !hasControl(section) && next.format() == format() &&
                    next.outline_.sections.size() == outline_.sections.size() + 1 &&
                    next.outline_.entries.size() == outline_.entries.size() &&
                    next.sectionName(outline_.sections.size()) == section;
  if (!fits) return base::Failure{"expected the name of a section, not " + inQuotes(section)};
  *this = std::move(next);
  return Done{};
}

bool Document::eraseKey(std::string_view section, std::string_view key) {
  std::string text = text_;
  bool erased = false;
  for (std::size_t i = outline_.sections.size(); i-- > 0;) {
    if (!sameSection(sectionName(i), section)) continue;
    for (std::size_t e = outline_.sections[i].lastEntry; e-- > outline_.sections[i].firstEntry;) {
      const OutlineEntry& entry = outline_.entries[e];
      if (!equalsIgnoringCase(keyOf(entry), key)) continue;
      erased = true;
      if (entry.alone) {
        const std::size_t begin = entry.key.begin == 0 ? 0 : text_.rfind('\n', entry.key.begin - 1) + 1;
        text.erase(begin, afterContinuation(e) - begin);
      } else {
        text.erase(entry.key.begin, entry.end - entry.key.begin);
      }
    }
  }
  if (erased) *this = Document(std::move(text), file_);
  return erased;
}

bool Document::eraseSection(std::string_view section) {
  std::string text = text_;
  bool erased = false;
  for (std::size_t i = outline_.sections.size(); i-- > 0;) {
    if (!sameSection(sectionName(i), section)) continue;
    erased = true;
    const OutlineSection& gone = outline_.sections[i];
    std::size_t end = gone.contentEnd;
    if (gone.lastEntry > gone.firstEntry && outline_.entries[gone.lastEntry - 1].alone) {
      end = std::max(end, afterContinuation(gone.lastEntry - 1));
    }
    if (gone.close != OutlineSection::kOpen) {
      end = gone.close + 1;
      const std::size_t lineEnds = afterLine(end);
      const std::string_view rest = trimmed(std::string_view(text_).substr(end, lineEnds - end));
      const bool nothing = rest.find_first_not_of("; \t\r\n") == std::string_view::npos || rest.starts_with("//") ||
                           rest.starts_with("#");
      const bool ownLine = gone.begin == 0 || text_[gone.begin - 1] == '\n';
      if (nothing && ownLine) end = lineEnds;
    }
    const bool enclosed = format() == Format::Conf && i > 0 && outline_.sections[i - 1].close == OutlineSection::kOpen;
    text.replace(gone.begin, end - gone.begin, enclosed ? "}" + std::string(lineEnd()) : "");
  }
  if (!erased) return false;
  // What was in the middle of the file must not be taken for its byte order mark.
  const bool wasMark = text_.starts_with(kByteOrderMark);
  if (!wasMark && text.starts_with(kByteOrderMark)) text.insert(0, lineEnd());
  *this = Document(std::move(text), file_);
  return true;
}

}  // namespace p11ha::config
