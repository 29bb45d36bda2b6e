#include "bench/table.h"

#include <algorithm>
#include <cmath>

namespace p11ha::bench {
namespace {

std::string padded(const std::string& cell, std::size_t width, bool left) {
  const std::string blanks(width - cell.size(), ' ');
  return left ? cell + blanks : blanks + cell;
}

}  // namespace

std::string Table::format(Style style, std::size_t left) const {
  std::vector<std::size_t> widths(rows_.front().size(), style == Style::Markdown ? 3 : 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (style == Style::Markdown) line += "| ";
      line += padded(row[i], widths[i], i < left);
      line += style == Style::Markdown ? " " : "  ";
    }
    if (style == Style::Markdown) line += "|";
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
    if (&row != &rows_.front() || style == Style::Text) continue;
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += i < left ? "|" + std::string(widths[i] + 2, '-') : "|" + std::string(widths[i] + 1, '-') + ":";
    }
    text += "|\n";
  }
  return text;
}

std::string number(double value, int decimals) {
  char digits[64];
  std::snprintf(digits, sizeof digits, "%.*f", decimals, std::fabs(value));
  std::string text = digits;
  const std::size_t whole = std::min(text.find('.'), text.size());
  for (std::size_t at = whole; at > 3;) text.insert(at -= 3, ",");
  const bool zero = text.find_first_not_of("0.,") == std::string::npos;
  return value < 0 && !zero ? "-" + text : text;
}

std::string signedNumber(double value, int decimals) {
  std::string text = number(value, decimals);
  return text.starts_with('-') ? text : "+" + text;
}

}  // namespace p11ha::bench
