// From words to a command with its arguments.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/secure_bytes.h"
#include "cli/command.h"

namespace p11ha::cli {

/// The options that were given, by the names of the table, with their values. Owned by whoever runs the command.
class Arguments {
 public:
  bool has(std::string_view option) const { return given_.contains(option); }
  /// Of an option that takes a value other than a PIN; empty where it was not given.
  std::string text(std::string_view option) const;
  std::optional<std::string> find(std::string_view option) const;
  /// What was given for a PIN; nullptr: nothing.
  const base::SecureBytes* pin(std::string_view option) const;

  bool empty() const { return given_.empty(); }
  void add(const Option& option, std::string_view value);

 private:
  struct Given {
    std::string text;
    base::SecureBytes pin;
  };
  std::map<std::string_view, Given> given_;
};

struct Parsed {
  const Command* command = nullptr;
  Arguments arguments;
};

/// A line's words: separated by blanks, quotes of either kind around what holds blanks, `""` an empty word; a backslash
/// is a character like any other. `#` begins a comment where a word would begin. Trouble: a quote that is not closed.
base::Result<std::vector<std::string>, Trouble> split(std::string_view line);

/// The command that the words mean. Words that are PINs are wiped and left empty. Trouble names what was not understood
/// and what could have been, never a PIN.
base::Result<Parsed, Trouble> parse(std::span<std::string> words);

/// Takes options off the front of `words`, up to the first word that is none.
base::Result<Arguments, Trouble> takeOptions(std::span<std::string>& words, const std::vector<Option>& options,
                                             const std::string& usage);

/// `-name` as an option of these is called, shortened or not; nullptr: none, or several.
const Option* findOption(std::string_view word, const std::vector<Option>& options);

}  // namespace p11ha::cli
