// What a whole run came to.
#pragma once

#include <array>
#include <iosfwd>
#include <map>

#include "tests/conformance/comparison/differences.h"

namespace p11ha::conformance {

/// Collects the comparisons of one run. One thread.
class Report {
 public:
  Report(std::string setting, std::span<const Intended> table)
      : setting_(std::move(setting)), table_(table), hits_(table.size()) {}

  void add(const std::string& scenario, Comparison comparison);
  /// A scenario that could not be run.
  void addFailure(const std::string& what) { failures_.push_back(what); }

  /// Functions and states, calls, differences, what was not compared. `whole`: all scenarios were run, so that a
  /// function without a call and a row without a difference are failures.
  void print(std::ostream& out, bool whole) const;
  /// The unintended differences, one a line, for whoever sorts them: tab-separated.
  void printDifferences(std::ostream& out) const;
  bool passed(bool whole) const;

 private:
  struct Unintended {
    std::string scenario;
    Difference difference;
  };
  std::vector<std::string> functionsWithoutCalls() const;
  std::vector<const Intended*> staleRows() const;
  void printStates(std::ostream& out) const;

  const std::string setting_;
  const std::span<const Intended> table_;
  std::vector<std::map<std::string, std::size_t>> hits_;                 // for each row of the table, what it met
  std::map<std::string, std::map<std::string, std::size_t>> states_;     // calls compared, by function and state
  std::map<std::string, std::map<std::string, std::size_t>> standings_;  // likewise
  std::map<std::string, std::size_t> notCompared_;                       // by function and reason
  std::size_t compared_ = 0;
  std::size_t equal_ = 0;
  std::vector<Unintended> unintended_;
  std::vector<std::string> failures_;
};

}  // namespace p11ha::conformance
