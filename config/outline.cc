#include "config/outline.h"

#include <algorithm>
#include <optional>

#include "config/text.h"

namespace p11ha::config {

namespace {

/// Looks at the line [pos, end) of a text; every function is linear in what it skips.
class Scan {
 public:
  explicit Scan(std::string_view text) : text_(text) {}

  std::size_t skipBlanks(std::size_t pos, std::size_t end) const {
    while (pos < end && isBlank(text_[pos])) ++pos;
    return pos;
  }

  /// The position of `c` in [pos, end), or `end`.
  std::size_t find(char c, std::size_t pos, std::size_t end) const {
    const std::size_t at = text_.substr(pos, end - pos).find(c);
    return at == std::string_view::npos ? end : pos + at;
  }

  Span trim(std::size_t begin, std::size_t end) const {
    begin = skipBlanks(begin, end);
    while (end > begin && isBlank(text_[end - 1])) --end;
    return {begin, end};
  }

  bool slashes(std::size_t pos, std::size_t end) const { return text_.substr(pos, end - pos).starts_with("//"); }

  bool startsComment(std::size_t pos, std::size_t end) const {
    return text_[pos] == '#' || text_[pos] == ';' || slashes(pos, end);
  }

  /// Whether nothing, or only a comment, is left.
  bool nothingLeft(std::size_t pos, std::size_t end) const {
    pos = skipBlanks(pos, end);
    return pos == end || startsComment(pos, end);
  }

  bool hasSpacedSlashes(std::size_t pos, std::size_t end) const {
    for (std::size_t i = pos + 1; i + 1 < end; ++i) {
      if (text_[i] == '/' && text_[i + 1] == '/' && isBlank(text_[i - 1])) return true;
    }
    return false;
  }

  struct Header {
    Span name;
    std::size_t body;  ///< after `{` or `]`
  };

  std::optional<Header> confHeader(std::size_t pos, std::size_t end) const {
    const std::size_t brace = find('{', pos, end);
    if (brace == end) return std::nullopt;
    Span name = trim(pos, brace);
    if (name.begin < name.end && text_[name.end - 1] == '=') name = trim(name.begin, name.end - 1);
    if (name.begin == name.end || name.in(text_).find_first_of("=;}") != std::string_view::npos) return std::nullopt;
    if (startsComment(name.begin, name.end) || hasSpacedSlashes(name.begin, name.end)) return std::nullopt;
    return Header{name, brace + 1};
  }

  std::optional<Header> iniHeader(std::size_t pos, std::size_t end) const {
    if (pos == end || text_[pos] != '[') return std::nullopt;
    const std::size_t bracket = find(']', pos, end);
    if (bracket == end) return std::nullopt;
    const Span name = trim(pos + 1, bracket);
    if (name.begin == name.end) return std::nullopt;
    return Header{name, bracket + 1};
  }

  struct Value {
    Span text;
    std::size_t end;   ///< after the `;`, or after the text
    std::size_t next;  ///< where the line goes on; its end where the rest is a comment
  };

  Value value(Format format, std::size_t from, std::size_t end) const {
    Value result = quotedValue(from, end).value_or(Value{{from, from}, from, end});
    if (result.text.begin == result.text.end) {
      result = format == Format::Conf ? confValue(from, end) : iniValue(from, end);
    }
    if (result.text.begin == result.text.end) {
      const std::size_t place = from < end && isBlank(text_[from]) ? from + 1 : from;
      result.text = {place, place};
      result.end = std::max(result.end, place);
    }
    return result;
  }

 private:
  std::optional<Value> quotedValue(std::size_t from, std::size_t end) const {
    const std::size_t begin = skipBlanks(from, end);
    if (begin == end || (text_[begin] != '"' && text_[begin] != '\'')) return std::nullopt;
    const std::size_t closing = find(text_[begin], begin + 1, end);
    if (closing == end) return std::nullopt;
    const std::size_t after = skipBlanks(closing + 1, end);
    const bool last = after == end || startsComment(after, end) || text_[after] == '}';
    if (!last) return std::nullopt;
    const Span text{begin, closing + 1};
    if (after < end && text_[after] == ';') return Value{text, after + 1, after + 1};
    return Value{text, text.end, after < end && text_[after] == '}' ? after : end};
  }

  Value confValue(std::size_t from, std::size_t end) const {
    const std::size_t semicolon = find(';', from, end);
    const bool terminated = semicolon < end;
    const std::size_t begin = skipBlanks(from, semicolon);
    for (std::size_t i = begin; i < semicolon; ++i) {
      if (i == 0 || !isBlank(text_[i - 1])) continue;
      if (slashes(i, semicolon)) {
        const bool isValue = terminated && i == begin && i + 2 < semicolon && !isBlank(text_[i + 2]);
        if (!isValue) return {trim(begin, i), trim(begin, i).end, end};
      }
      if (terminated) continue;
      if (text_[i] == '#') return {trim(begin, i), trim(begin, i).end, end};
      if (text_[i] == '}' && nothingLeft(i + 1, end)) return {trim(begin, i), trim(begin, i).end, i};
    }
    const Span text = trim(begin, semicolon);
    return {text, terminated ? semicolon + 1 : text.end, terminated ? semicolon + 1 : end};
  }

  Value iniValue(std::size_t from, std::size_t end) const {
    const std::size_t begin = skipBlanks(from, end);
    for (std::size_t i = begin; i < end; ++i) {
      if (i > from && isBlank(text_[i - 1]) && startsComment(i, end)) {
        return {trim(begin, i), trim(begin, i).end, end};
      }
    }
    Span text = trim(begin, end);
    const std::size_t last = text.end;
    if (text.begin < text.end && text_[text.end - 1] == ';') text = trim(text.begin, text.end - 1);
    return {text, last, end};
  }

  std::string_view text_;
};

class Outliner {
 public:
  Outliner(std::string_view text, Format fallback) : text_(text), scan_(text) {
    start_ = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
    out_.format = detect(fallback);
  }

  Outline run() {
    eachLine([this] {
      if (!sawNul_ && scan_.find('\0', begin_, end_) < end_) {
        sawNul_ = true;
        out_.problems.push_back({Problem::Kind::NulByte, line_, Problem::kNoSection});
      }
      if (out_.format == Format::Conf) {
        confLine();
      } else {
        iniLine();
      }
      return true;
    });
    if (open_ && out_.format == Format::Conf) {
      line_ = out_.sections.back().line;
      problem(Problem::Kind::Unterminated);
    }
    return std::move(out_);
  }

 private:
  template <class Visit>
  void eachLine(Visit visit) {
    line_ = 0;
    begin_ = start_;
    while (begin_ < text_.size()) {
      ++line_;
      end_ = scan_.find('\n', begin_, text_.size());
      next_ = std::min(end_ + 1, text_.size());
      if (!visit()) return;
      begin_ = next_;
    }
  }

  Format detect(Format fallback) {
    Format found = fallback;
    eachLine([&] {
      const std::size_t pos = scan_.skipBlanks(begin_, end_);
      if (pos == end_ || scan_.startsComment(pos, end_)) return true;
      if (scan_.iniHeader(pos, end_)) {
        found = Format::Ini;
        return false;
      }
      if (scan_.confHeader(pos, end_)) {
        found = Format::Conf;
        return false;
      }
      return true;
    });
    return found;
  }

  void problem(Problem::Kind kind) {
    out_.problems.push_back({kind, line_, open_ ? out_.sections.size() - 1 : Problem::kNoSection});
  }

  void openSection(const Scan::Header& header, bool first) {
    if (open_ && out_.format == Format::Conf) problem(Problem::Kind::NestedSection);
    OutlineSection section;
    section.name = header.name;
    section.line = line_;
    section.begin = first ? begin_ : header.name.begin;
    section.body = out_.format == Format::Conf ? header.body : next_;
    section.contentEnd = next_;
    section.firstEntry = section.lastEntry = out_.entries.size();
    out_.sections.push_back(section);
    open_ = true;
  }

  /// Reads `key = value` at `pos`; returns where the line goes on, or its end after stray text.
  std::size_t entry(std::size_t pos) {
    const std::size_t equals = scan_.find('=', pos, end_);
    const Span key = scan_.trim(pos, equals);
    const std::string_view name = key.in(text_);
    if (open_) out_.sections.back().contentEnd = next_;
    const bool isKey = equals < end_ && !name.empty() && name.find(';') == std::string_view::npos &&
                       !scan_.hasSpacedSlashes(key.begin, key.end);
    if (!open_ || !isKey) {
      problem(open_ ? Problem::Kind::StrayText : Problem::Kind::OutsideSection);
      return end_;
    }
    const Scan::Value value = scan_.value(out_.format, equals + 1, end_);
    out_.entries.push_back({key, value.text, value.end, line_, false});
    out_.sections.back().lastEntry = out_.entries.size();
    return value.next;
  }

  void confLine() {
    std::size_t pos = begin_;
    bool first = true;      // nothing but blanks precedes
    bool oneLiner = false;  // a header precedes on this line: entries follow each other
    for (;; first = false) {
      pos = scan_.skipBlanks(pos, end_);
      if (pos == end_ || scan_.startsComment(pos, end_)) return;
      if (text_[pos] == '}') {
        if (open_) {
          out_.sections.back().close = pos;
          open_ = false;
        } else {
          problem(Problem::Kind::StrayClose);
        }
        ++pos;
        continue;
      }
      // Inside a section only a header that ends its line is taken for one: `key = {x};` is an entry.
      const auto header = open_ && oneLiner ? std::nullopt : scan_.confHeader(pos, end_);
      if (header && (!open_ || endsLine(header->body))) {
        openSection(*header, first);
        pos = header->body;
        oneLiner = true;
        continue;
      }
      const std::size_t before = out_.entries.size();
      pos = entry(pos);
      if (out_.entries.size() == before) return;
      const std::size_t rest = scan_.skipBlanks(pos, end_);
      const bool closes = rest < end_ && text_[rest] == '}';
      out_.entries.back().alone = first && !closes;
      if (!oneLiner && !closes) return;
    }
  }

  bool endsLine(std::size_t pos) const {
    pos = scan_.skipBlanks(pos, end_);
    return pos == end_ || (text_[pos] != ';' && scan_.startsComment(pos, end_));
  }

  void iniLine() {
    const std::size_t pos = scan_.skipBlanks(begin_, end_);
    if (pos == end_ || scan_.startsComment(pos, end_)) return;
    if (const auto header = scan_.iniHeader(pos, end_)) {
      openSection(*header, true);
      return;
    }
    const std::size_t before = out_.entries.size();
    entry(pos);
    if (out_.entries.size() > before) out_.entries.back().alone = true;
  }

  std::string_view text_;
  Scan scan_;
  std::size_t start_ = 0;
  Outline out_;
  std::size_t line_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;   // before the '\n'
  std::size_t next_ = 0;  // after it
  bool open_ = false;
  bool sawNul_ = false;
};

}  // namespace

Outline outline(std::string_view text, Format fallback) { return Outliner(text, fallback).run(); }

}  // namespace p11ha::config
