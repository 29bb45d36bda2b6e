#include "config/diagnostic.h"

#include <algorithm>
#include <utility>

namespace p11ha::config {

namespace {

constexpr std::size_t kLongest = 64;

std::string printable(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      result += c;
    } else {
      result += "\\x";
      result += kDigits[byte >> 4];
      result += kDigits[byte & 0xf];
    }
  }
  return result;
}

std::string cut(std::string_view text) {
  return text.size() <= kLongest ? printable(text) : printable(text.substr(0, kLongest)) + "...";
}

}  // namespace

std::string Diagnostic::format() const {
  std::string result = printable(file);
  if (line != 0) result += ":" + std::to_string(line);
  result += ": ";
  if (!key.empty()) result += cut(key) + ": ";
  result += printable(text);
  return instead.empty() ? result : result + "; " + printable(instead);
}

std::string inQuotes(std::string_view value) { return "\"" + cut(value) + "\""; }

void Diagnostics::error(std::size_t line, std::string_view key, std::string text, std::string instead) {
  add(Severity::Error, errors_, line, key, std::move(text), std::move(instead));
}

void Diagnostics::warning(std::size_t line, std::string_view key, std::string text) {
  add(Severity::Warning, warnings_, line, key, std::move(text), {});
}

void Diagnostics::add(Severity severity, std::size_t& count, std::size_t line, std::string_view key, std::string text,
                      std::string instead) {
  if (++count > kMost) {
    ++dropped_;
    return;
  }
  found_.push_back({severity, file_, line, std::string(key), std::move(text), std::move(instead)});
}

std::vector<Diagnostic> Diagnostics::take() {
  std::stable_sort(found_.begin(), found_.end(),
                   [](const Diagnostic& a, const Diagnostic& b) { return a.line < b.line; });
  if (dropped_ != 0) {
    found_.push_back({Severity::Warning, file_, 0, "", std::to_string(dropped_) + " more findings are not shown"});
  }
  errors_ = warnings_ = dropped_ = 0;
  return std::exchange(found_, {});
}

}  // namespace p11ha::config
