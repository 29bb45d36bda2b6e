#include "tests/support/ha_table.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace p11ha::tests {
namespace {

std::vector<std::string> linesOf(const std::string& name) {
  std::ifstream file(std::string(P11HA_SOURCE_DIR) + "/tests/golden/" + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  if (lines.empty()) throw std::runtime_error(name + " cannot be read");
  return lines;
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t at = 0; (at = text.find(separator, begin)) != std::string::npos; begin = at + separator.size())
    parts.push_back(text.substr(begin, at - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

HaMessage row(const std::string& line) {
  static const std::string deprecated = " (deprecated)";
  const auto wrong = [&] { return std::runtime_error("no row of the HA messages: " + line); };
  if (!line.starts_with("| ") || !line.ends_with(" |")) throw wrong();
  std::vector<std::string> cells = split(line.substr(2, line.size() - 4), " | ");
  if (cells.size() != 5) throw wrong();
  std::string& id = cells[1];
  std::string& text = cells[2];
  HaMessage message{.event = cells[0], .id = {}, .text = {}, .situation = cells[3], .tests = split(cells[4], ", ")};
  message.deprecated = id.ends_with(deprecated);
  if (message.deprecated) id.resize(id.size() - deprecated.size());
  if (id != "No ID") message.id = id;
  if (text.size() < 2 || !text.starts_with('`') || !text.ends_with('`')) throw wrong();
  message.text = text.substr(1, text.size() - 2);
  if (message.text.ends_with("\\n")) message.text.resize(message.text.size() - 2);
  return message;
}

}  // namespace

const std::vector<HaMessage>& haMessages() {
  static const std::vector<HaMessage> all = [] {
    std::vector<HaMessage> rows;
    bool inTable = false;
    for (const std::string& line : linesOf("ha_situations.md")) {
      if (inTable && line.starts_with("|")) rows.push_back(row(line));
      inTable = line.starts_with("|---") || (inTable && line.starts_with("|"));
    }
    return rows;
  }();
  return all;
}

const HaMessage& haMessage(const std::string& event) {
  const auto& all = haMessages();
  const auto found = std::find_if(all.begin(), all.end(), [&](const HaMessage& each) { return each.event == event; });
  if (found == all.end()) throw std::out_of_range("the table has no HA message " + event);
  return *found;
}

const std::vector<std::string>& ownMessages() {
  static const std::vector<std::string> all = linesOf("ha_messages_p11ha.txt");
  return all;
}

std::string filledIn(std::string text, const HaValues& values) {
  std::map<std::string, std::size_t> used;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at)) {
    const std::string placeholder = text.substr(at, text.find('>', at) + 1 - at);
    const auto known = values.find(placeholder);
    if (known == values.end()) throw std::out_of_range("no value for " + placeholder);
    const std::string& value = known->second.at(used[placeholder]++);
    text.replace(at, placeholder.size(), value);
    at += value.size();
  }
  return text;
}

}  // namespace p11ha::tests
