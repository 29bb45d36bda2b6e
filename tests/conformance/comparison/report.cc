#include "tests/conformance/comparison/report.h"

#include <algorithm>
#include <iomanip>
#include <ostream>
#include <set>

#include "cryptoki/function.h"

namespace p11ha::conformance {
namespace {

void printTable(std::ostream& out, const std::string& title,
                const std::map<std::string, std::map<std::string, std::size_t>>& counts) {
  std::map<std::string, std::size_t> columns;
  for (const auto& [function, states] : counts) {
    for (const auto& [state, count] : states) columns.try_emplace(state, 0);
  }
  out << '\n' << title << ", calls compared\n";
  std::size_t number = 0;
  for (auto& [state, place] : columns) out << "  [" << (place = ++number) << "] " << state << '\n';
  out << std::left << std::setw(24) << "";
  for (const auto& column : columns) out << std::right << std::setw(6) << '[' + std::to_string(column.second) + ']';
  out << '\n';
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    const std::string name(cryptoki::function(static_cast<cryptoki::Fn>(i)).name);
    out << std::left << std::setw(24) << name << std::right;
    const auto found = counts.find(name);
    for (const auto& column : columns) {
      const std::size_t count =
          found == counts.end() || !found->second.contains(column.first) ? 0 : found->second.at(column.first);
      out << std::setw(6) << (count == 0 ? "." : std::to_string(count));
    }
    out << '\n';
  }
}

}  // namespace

void Report::add(const std::string& scenario, Comparison comparison) {
  compared_ += comparison.compared.size();
  equal_ += comparison.compared.size();
  for (const Entry& entry : comparison.compared) {
    ++states_[entry.function][entry.state];
    ++standings_[entry.function][entry.standing];
  }
  for (const NotCompared& one : comparison.notCompared) {
    ++notCompared_[one.call.function + '(' + (one.call.rv == kDied ? one.call.situation : "...") + "): " + one.reason];
  }
  std::set<std::pair<std::string, unsigned>> unequal;
  for (Difference& difference : comparison.differences) {
    if (difference.field != "call") unequal.insert({difference.call.section, difference.call.number});
    if (const Intended* row = intended(table_, setting_, difference); row != nullptr) {
      auto& met = hits_[static_cast<std::size_t>(row - table_.data())];
      ++met[row->field == "rv" ? difference.expected + " -> " + difference.got : std::string()];
    } else {
      unintended_.push_back({scenario, std::move(difference)});
    }
  }
  equal_ -= unequal.size();
}

std::vector<std::string> Report::functionsWithoutCalls() const {
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    std::string name(cryptoki::function(static_cast<cryptoki::Fn>(i)).name);
    if (!states_.contains(name)) missing.push_back(std::move(name));
  }
  return missing;
}

std::vector<const Intended*> Report::staleRows() const {
  std::vector<const Intended*> stale;
  for (std::size_t i = 0; i < table_.size(); ++i) {
    if (hits_[i].empty() && appliesTo(table_[i], setting_)) stale.push_back(&table_[i]);
  }
  return stale;
}

bool Report::passed(bool whole) const {
  return failures_.empty() && unintended_.empty() && compared_ != 0 &&
         (!whole || (functionsWithoutCalls().empty() && staleRows().empty()));
}

void Report::printDifferences(std::ostream& out) const {
  for (const auto& [scenario, difference] : unintended_) {
    const Entry& call = difference.call;
    out << scenario << '\t' << call.section << '\t' << call.number << '\t' << call.function << '\t' << call.situation
        << '\t' << call.state << '\t' << call.standing << '\t' << difference.field << '\t' << difference.expected
        << '\t' << difference.got << '\n';
  }
}

void Report::print(std::ostream& out, bool whole) const {
  printTable(out, "Functions x operations of the session", states_);
  printTable(out, "Functions x sessions", standings_);
  out << "\nIntended differences\n";
  for (std::size_t i = 0; i < table_.size(); ++i) {
    if (hits_[i].empty()) continue;
    out << "        " << table_[i].function << ' ' << table_[i].field << ": " << table_[i].reason << '\n';
    for (const auto& [values, count] : hits_[i]) out << std::setw(6) << count << "  " << values << '\n';
  }
  out << "\nNot compared\n";
  for (const auto& [what, count] : notCompared_) out << std::setw(6) << count << "  " << what << '\n';
  if (whole) {
    for (const std::string& name : functionsWithoutCalls()) out << "\nFAILED: no call of " << name << " was compared\n";
    for (const Intended* row : staleRows()) {
      out << "\nFAILED: stale: nothing is different any more where the table says \"" << row->reason << "\" of "
          << row->function << ' ' << row->field << '\n';
    }
  }
  for (const std::string& failure : failures_) out << "\nFAILED: " << failure << '\n';
  for (const auto& [scenario, difference] : unintended_) {
    out << "\nFAILED: " << scenario << ": " << describe(difference.call) << "\n  " << difference.field
        << "\n    member " << difference.expected << "\n    group  " << difference.got << '\n';
  }
  out << "\n"
      << setting_ << ": " << states_.size() << " functions, " << compared_ << " calls compared, " << equal_
      << " equal, " << unintended_.size() << " unintended differences\n";
}

}  // namespace p11ha::conformance
