#include "testbed/failing_module/tally.h"

#include <cstdlib>
#include <sstream>

namespace p11ha::testbed {
namespace {

constexpr std::string_view kNone = "-";

std::string word(std::string_view text) { return std::string(text.empty() ? kNone : text); }
std::string_view unword(std::string_view text) { return text == kNone ? std::string_view{} : text; }

}  // namespace

void Tally::add(std::string_view slot, std::string_view serial, std::size_t fn, const Count& count) {
  if (count.passed == 0 && count.refused == 0 && count.waiting == 0) return;
  Count& sum = counts_[Key{std::string(slot), std::string(serial), fn}];
  sum.passed += count.passed;
  sum.refused += count.refused;
  sum.waiting += count.waiting;
}

void Tally::addText(std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string slot;
    std::string serial;
    std::string name;
    Count count;
    if (!(words >> slot >> serial >> name >> count.passed >> count.refused >> count.waiting)) continue;
    const cryptoki::Fn* fn = cryptoki::findFunction(name);
    if (fn != nullptr) add(unword(slot), unword(serial), static_cast<std::size_t>(*fn), count);
  }
}

std::string Tally::text() const {
  std::ostringstream text;
  for (const auto& [key, count] : counts_) {
    const auto& [slot, serial, fn] = key;
    text << word(slot) << ' ' << word(serial) << ' ' << cryptoki::function(static_cast<cryptoki::Fn>(fn)).name << ' '
         << count.passed << ' ' << count.refused << ' ' << count.waiting << '\n';
  }
  return text.str();
}

std::array<Count, cryptoki::kFunctionCount> Tally::sum(const Target& target) const {
  std::array<Count, cryptoki::kFunctionCount> sums{};
  for (const auto& [key, count] : counts_) {
    const auto& [slot, serial, fn] = key;
    const bool covered = slot.empty() ? target.kind == Target::Kind::Any
                                      : target.covers(std::strtoul(slot.c_str(), nullptr, 10), serial);
    if (!covered) continue;
    sums[fn].passed += count.passed;
    sums[fn].refused += count.refused;
    sums[fn].waiting += count.waiting;
  }
  return sums;
}

}  // namespace p11ha::testbed
