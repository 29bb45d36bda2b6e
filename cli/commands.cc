// The table of commands: each subject describes its own (cli/commands/).
#include "cli/commands/subjects.h"

namespace p11ha::cli {

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {"hagroup", "ha", "HA groups"},
      {"partition", "", "What is on a member or in a group"},
      {"slot", "", "The tokens there are"},
      {"client", "", "Where they come from"},
  };
  return all;
}

const std::vector<Command>& commands() {
  static const std::vector<Command> all = [] {
    std::vector<Command> table;
    for (const auto subject : kSubjects) {
      std::vector<Command> own = subject();
      table.insert(table.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
    }
    return table;
  }();
  return all;
}

const std::vector<Option>& programOptions() {
  static const std::vector<Option> all = {
      {"q", Value::None, "", Need::Optional, "No greeting in front of the first prompt"},
      {"f", Value::Path, "file", Need::Optional, "Runs the commands of a file, up to the first that fails"},
      {"complete", Value::None, "", Need::Optional, "Says what the last word of a line on standard input can become"},
      {"manual", Value::None, "", Need::Optional, "The manual page, for man(1)"},
      {"version", Value::None, "", Need::Optional, "Which version this is"},
      {"help", Value::None, "", Need::Optional, "This"},
  };
  return all;
}

std::vector<Option> optionsOf(const Command& command) {
  std::vector<Option> options = command.options;
  options.push_back({"help", Value::None, "", Need::Optional, "Says all of this command instead of running it"});
  return options;
}

}  // namespace p11ha::cli
