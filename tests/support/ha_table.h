// The messages of the HA log, as tests/golden/ has them: the one place where their texts stand beside the library's
// own.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace p11ha::tests {

/// A row of tests/golden/ha_situations.md.
struct HaMessage {
  std::string event;               // as in halog/events.def
  std::string id;                  // "" where the reference has none
  bool deprecated = false;         // by the reference
  std::string text;                // with the reference's placeholders, <MessagePrefix> first; without the line's end
  std::string situation;           // in words
  std::vector<std::string> tests;  // of the suite HaMessages
};

/// In the order of the table. Throws std::runtime_error where a line of it is no row of five cells.
const std::vector<HaMessage>& haMessages();
/// By its event. Throws std::out_of_range.
const HaMessage& haMessage(const std::string& event);

/// The texts of what the reference has no text for, of tests/golden/ha_messages_p11ha.txt.
const std::vector<std::string>& ownMessages();

/// What stands for a placeholder, by its name with the brackets; in this order where a text has it more than once.
using HaValues = std::map<std::string, std::vector<std::string>>;

/// The text with its placeholders replaced. Throws std::out_of_range where there is no value for one.
std::string filledIn(std::string text, const HaValues& values);

}  // namespace p11ha::tests
