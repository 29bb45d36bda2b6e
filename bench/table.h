// Results as people read them.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace p11ha::bench {

enum class Style { Text, Markdown };

/// Rows of cells. The first column is set to the left, numbers to the right. Owned by its user; one thread.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}

  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// `left`: how many columns hold text.
  std::string format(Style style, std::size_t left = 1) const;

 private:
  std::vector<std::vector<std::string>> rows_;  // the head first; all of one length
};

/// With so many decimals, thousands apart: 12,345.6
std::string number(double value, int decimals = 0);
/// The same with its sign.
std::string signedNumber(double value, int decimals = 0);

}  // namespace p11ha::bench
