#include "cli/man_page.h"

#include "cli/help.h"

namespace p11ha::cli {
namespace {

// As troff prints it unchanged.
std::string plain(std::string_view text) {
  std::string result;
  if (!text.empty() && (text.front() == '.' || text.front() == '\'')) result = "\\&";
  for (const char c : text) {
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  return result;
}

std::string section(std::string_view title) { return ".SH " + std::string(title) + "\n"; }

std::string paragraph(std::string_view text) { return ".PP\n" + plain(text) + "\n"; }

// A term and what is said of it, beside or below it.
std::string item(std::string_view term, std::string_view text) {
  return ".TP\n\\fB" + plain(term) + "\\fR\n" + plain(text) + "\n";
}

std::string optionItems(const std::vector<Option>& options) {
  std::string text;
  for (const Option& option : options) {
    if (!option.name.empty()) text += item(writtenOption(option), option.help);
  }
  return text;
}

std::string commandText(const Command& command) {
  return ".SS " + plain(command.fullName()) + "\n" + plain(command.help) + ".\n.PP\n.nf\n" + plain(usageOf(command)) +
         "\n.fi\n" + (command.alias.empty() ? "" : paragraph("Also called " + std::string(command.alias) + ".")) +
         optionItems(command.options);
}

}  // namespace

std::string manPage(const std::string& version) {
  std::string text = ".TH HACM 1 \"\" \"p11ha " + plain(version) + "\" \"p11ha\"\n" + section("NAME") +
                     "hacm \\- manages HA groups of PKCS#11 members\n" + section("SYNOPSIS") + ".B hacm\n" +
                     plain(usageOf(programOptions()) + " [COMMAND]") + "\n" + section("DESCRIPTION") +
                     "Makes HA groups, changes them and looks at them, in the configuration that libp11ha.so reads.\n" +
                     paragraph(
                         "Without a command it reads commands from the terminal, or from standard input where that is "
                         "none, up to the first that fails. Names and options may be shortened while they stay "
                         "unambiguous; case does not matter. A PIN is asked for without showing it, or given as "
                         "env:NAME, from a variable, or fd:N, from a descriptor.") +
                     optionItems(programOptions()) + section("COMMANDS");
  for (const Command& command : commands()) text += commandText(command);
  return text + section("EXIT STATUS") + "0 where all commands succeeded, else 1.\n" + section("ENVIRONMENT") +
         item("P11HA_CONF", "The configuration file.") +
         item("ChrystokiConfigurationPath",
              "Where that is not set: the directory of Chrystoki.conf or crystoki.ini; /etc otherwise.");
}

}  // namespace p11ha::cli
