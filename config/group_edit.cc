#include "config/group_edit.h"

#include <charconv>
#include <set>

#include "config/schema.h"
#include "config/text.h"

namespace p11ha::config {
namespace {

std::string joined(const std::vector<std::string>& serials) {
  std::string text;
  for (const std::string& serial : serials) (text += text.empty() ? "" : ", ") += serial;
  return text;
}

// Serial numbers are listed with blanks between them or without; a label keeps its own.
std::string withoutBlanks(std::string text) {
  if (text.find(',') != std::string::npos) std::erase_if(text, isBlank);
  return text;
}

// Of what is written of groups, whether or not it makes one.
std::set<unsigned> groupNumbers(const Document& document) {
  constexpr std::string_view kStem = "VirtualToken";
  std::set<unsigned> taken;
  for (const Entry& entry : document.entries(kStem)) {
    if (!equalsIgnoringCase(std::string_view(entry.key).substr(0, kStem.size()), kStem)) continue;
    unsigned number = 0;
    const char* const end = entry.key.data() + entry.key.size();
    if (std::from_chars(entry.key.data() + kStem.size(), end, number).ec == std::errc()) taken.insert(number);
  }
  return taken;
}

}  // namespace

unsigned freeGroupNumber(const Document& document) {
  const std::set<unsigned> taken = groupNumbers(document);
  unsigned number = 0;
  while (taken.contains(number)) ++number;
  return number;
}

std::optional<Group> findWritten(const Document& document, std::string_view name) {
  std::optional<Group> found;
  if (name.empty()) return found;
  for (const unsigned number : groupNumbers(document)) {
    const auto valueOf = [&](std::string_view key) {
      return document.get("VirtualToken", spelledIn(document, "VirtualToken", key, {number, {}})).value_or("");
    };
    Group group;
    group.number = number;
    group.label = valueOf("VirtualTokenNNLabel");
    group.serial = valueOf("VirtualTokenNNSN");
    if (group.label != name && group.serial != name) continue;
    if (found) return std::nullopt;
    found = std::move(group);
  }
  return found;
}

Edit putGroup(Document& document, const Group& group) {
  const Place numbered{group.number, {}};
  const Place labelled{0, group.label};
  const auto write = [&](std::string_view section, std::string_view name, const Place& place,
                         const std::string& value) -> Edit {
    const auto now = document.get(section, spelledIn(document, section, name, place));
    if (now && withoutBlanks(*now) == withoutBlanks(value)) return Done{};
    return put(document, section, name, place, value);
  };
  if (auto done = write("VirtualToken", "VirtualTokenNNLabel", numbered, group.label); !done) return done;
  if (auto done = write("VirtualToken", "VirtualTokenNNSN", numbered, group.serial); !done) return done;
  if (auto done = write("VirtualToken", "VirtualTokenNNMembers", numbered, joined(group.members)); !done) return done;
  if (auto done = write("HASynchronize", "<label>", labelled, group.synchronize ? "1" : "0"); !done) return done;
  if (!group.standby.empty()) return write("HAConfiguration", "<label>StandbyMembers", labelled, joined(group.standby));
  drop(document, "HAConfiguration", "<label>StandbyMembers", labelled);
  return Done{};
}

void dropGroup(Document& document, const Group& group) {
  const Place numbered{group.number, {}};
  const Place labelled{0, group.label};
  for (const std::string_view name : {"VirtualTokenNNLabel", "VirtualTokenNNSN", "VirtualTokenNNMembers"})
    drop(document, "VirtualToken", name, numbered);
  if (group.label.empty()) return;
  drop(document, "HASynchronize", "<label>", labelled);
  drop(document, "HARecovery", "<label>", labelled);
  drop(document, "HAConfiguration", "<label>StandbyMembers", labelled);
}

}  // namespace p11ha::config
