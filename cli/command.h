// What a command is: its names, its options and what runs it. Parsing, abbreviations, help, usage errors and completion
// derive from the one table of these (cli/commands.cc).
#pragma once

#include <string_view>
#include <vector>

#include "cli/answer.h"

namespace p11ha::cli {

class Session;
class Arguments;

/// What an option takes: how it is read, and what completion offers for it.
enum class Value {
  None,  ///< it is a switch
  Text,
  Number,
  Group,   ///< the label or the number of a group
  Serial,  ///< the serial number of a member
  Server,  ///< the name of a server
  Path,
  Pin,  ///< never shown, never kept: wiped where it was typed
};

enum class Need {
  Optional,
  Required,
  OneOf,      ///< exactly one of the command's options of this need
  AtMostOne,  ///< at most one of the command's options of this need
};

struct Option {
  std::string_view name;  ///< without its hyphen
  Value value = Value::None;
  std::string_view placeholder{};  ///< what its value is called in help
  Need need = Need::Optional;
  std::string_view help{};
  std::vector<std::string_view> words{};  ///< all values it takes; empty: others
};

struct Command {
  std::string_view family;  ///< the word before its name; empty: none
  std::string_view name;
  std::string_view alias;  ///< or empty
  std::string_view help;   ///< what it does, in a line
  std::vector<Option> options;
  Answer (*run)(Session& session, const Arguments& arguments);

  std::string fullName() const;
};

struct Family {
  std::string_view name;
  std::string_view alias;
  std::string_view help;
};

/// The table. Constant; any thread.
const std::vector<Command>& commands();
const std::vector<Family>& families();

/// The options of the program itself.
const std::vector<Option>& programOptions();

/// The options of a command, and what every command has.
std::vector<Option> optionsOf(const Command& command);

}  // namespace p11ha::cli
