// Lines of `word key=value key=value ...`, of which journals and listings are made.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "testbed/history/attributes.h"

namespace p11ha::history {

/// One line. Plain data of its holder; any thread. A word, a key or a plain text has no blank, '=' or line break in it.
class Line {
 public:
  explicit Line(std::string word) : word_(std::move(word)) {}
  /// What text() made, without the line break. Nothing of an empty line; what is no `key=value` is left out.
  static std::optional<Line> parse(const std::string& text);

  Line& put(const std::string& key, const std::string& text);
  Line& put(const std::string& key, std::uint64_t number);
  Line& putBytes(const std::string& key, const Bytes& bytes);
  /// As PREFIX.TYPE=VALUE, in hexadecimal.
  Line& put(const Attributes& attributes, char prefix = 'a');

  const std::string& word() const { return word_; }
  bool has(const std::string& key) const { return values_.count(key) != 0; }
  /// Empty, 0, empty where there is none.
  std::string text(const std::string& key) const;
  std::uint64_t number(const std::string& key) const;
  Bytes bytes(const std::string& key) const;
  Attributes attributes(char prefix = 'a') const;

  /// With a line break.
  std::string text() const;

 private:
  std::string word_;
  std::map<std::string, std::string> values_;
};

}  // namespace p11ha::history
