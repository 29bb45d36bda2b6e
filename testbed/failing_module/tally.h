// How many calls each function of each slot saw: the text in which processes tell it, and sums over it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "testbed/failing_module/rule.h"

namespace p11ha::testbed {

struct Count {
  std::uint64_t passed = 0;   // handed to the wrapped module
  std::uint64_t refused = 0;  // answered by a rule instead
  std::uint64_t waiting = 0;  // held at this moment by a delay or a hang
};

/// Adds up. One thread.
class Tally {
 public:
  /// `slot` and `serial` are empty for the calls that name no slot.
  void add(std::string_view slot, std::string_view serial, std::size_t fn, const Count& count);
  /// Lines as text() wrote them; whatever else is passed over.
  void addText(std::string_view lines);
  std::string text() const;

  std::array<Count, cryptoki::kFunctionCount> sum(const Target& target) const;

 private:
  // Slot, serial, function.
  using Key = std::tuple<std::string, std::string, std::size_t>;
  std::map<Key, Count> counts_;
};

}  // namespace p11ha::testbed
