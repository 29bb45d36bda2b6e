// Any bytes as a configuration file. The first line of the input chooses an edit ("section|key|value"); the rest is the
// file, which is also read without it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"
#include "config/settings.h"
#include "config/text.h"

namespace {

using p11ha::config::Document;
using p11ha::config::equalsIgnoringCase;
using p11ha::config::sameSection;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

/// All that a document says, by section, but for what `ignored` names.
template <class Ignored>
std::vector<std::string> sayings(const Document& document, Ignored ignored) {
  std::vector<std::string> result;
  std::vector<std::string> names;
  for (const auto& name : document.sections()) {
    const auto same = [&](const std::string& other) { return sameSection(other, name); };
    if (std::any_of(names.begin(), names.end(), same)) continue;
    names.push_back(name);
    for (const auto& entry : document.entries(name)) {
      if (!ignored(name, entry.key)) result.push_back(name + "|" + entry.key + "|" + entry.value);
    }
  }
  return result;
}

void readAndCheck(const Document& document) {
  const auto settings = p11ha::config::read(document);
  for (const auto& each : settings.diagnostics) {
    for (const char c : each.format()) require(c >= 0x20 && c < 0x7f, "a diagnostic is one printable line");
  }
  for (const auto& group : settings.groups) {
    require(!group.members.empty() && group.members.size() <= 32, "a group has 1 to 32 members");
    require(group.standby.size() < group.members.size(), "a group has a member that is not standby");
    require(!group.label.empty() && group.label.size() <= 32, "a label fits its field");
    require(!group.serial.empty() && group.serial.size() <= 16, "a serial fits its field");
  }
}

std::string take(std::string_view& text, char upTo) {
  const std::size_t at = text.find(upTo);
  std::string result(text.substr(0, at));
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string whole(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"Chrystoki.conf", "crystoki.ini"}) {
    const Document document = Document::parse(whole, name);
    require(document.text() == whole, "an unchanged document has the same bytes");
    readAndCheck(document);

    std::string_view rest = whole;
    std::string head = take(rest, '\n');
    std::string_view headRest = head;
    const std::string section = take(headRest, '|');
    const std::string key = take(headRest, '|');
    const std::string value = take(headRest, '|');
    const Document before = Document::parse(std::string(rest), name);
    const auto inSection = [&](const auto& its, const auto&) { return sameSection(its, section); };
    const auto isKey = [&](const auto& its, const auto& itsKey) {
      return sameSection(its, section) && equalsIgnoringCase(itsKey, key);
    };

    Document changed = before;
    if (changed.set(section, key, value)) {
      require(changed.get(section, key) == value, "a value that was set is there");
      const Document again = Document::parse(changed.text(), name);
      require(again.get(section, key) == value, "a value that was set is read back");
      require(sayings(again, isKey) == sayings(before, isKey), "setting a value changes no other");
      readAndCheck(again);
    } else {
      require(changed.text() == before.text(), "a refused change changes nothing");
    }

    Document erased = changed;
    erased.eraseKey(section, key);
    require(!Document::parse(erased.text(), name).get(section, key), "a key that was erased is gone");

    Document without = changed;
    without.eraseSection(section);
    const Document read = Document::parse(without.text(), name);
    if (read.format() == changed.format()) {
      require(!read.hasSection(section), "a section that was erased is gone");
      require(sayings(read, inSection) == sayings(changed, inSection), "erasing a section changes no other");
    }
  }
  return 0;
}
