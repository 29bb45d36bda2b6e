// What must hold of every transition of a member, said once more and otherwise than in ha/member_state.cc.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ha/member_state.h"

namespace p11ha::simulation {

/// Stands between the management and who decides for it. One thread; outlives what decide() returns.
class TransitionCheck {
 public:
  explicit TransitionCheck(ha::Decide decides) : decides_(std::move(decides)) {}

  /// A member that the group begins with. Before the first transition.
  void begin(const std::string& serial) { active_[serial] = true; }

  ha::Decide decide();
  /// Told of each member that is active again. Set before the first transition.
  std::function<void(const std::string& serial)> onRecovered;

  /// What did not hold.
  const std::vector<std::string>& problems() const { return problems_; }
  /// The lines that the transitions had written, in order.
  const std::vector<halog::Event>& lines() const { return lines_; }
  /// How often the last member that was up went down.
  std::size_t outages() const { return outages_; }
  /// Everything that happened, in a number: equal runs have equal ones.
  std::uint64_t trace() const { return trace_; }

 private:
  void check(const ha::MemberState& before, const ha::MemberEvent& event, base::Monotonic now,
             const ha::RecoveryPolicy& policy, const std::string& serial, const ha::Step& after);
  void expect(bool holds, const std::string& serial, const char* what);

  const ha::Decide decides_;
  std::vector<std::string> problems_;
  std::vector<halog::Event> lines_;
  std::map<std::string, bool> active_;
  bool someUp_ = true;  // a group begins with all its members
  std::size_t outages_ = 0;
  std::uint64_t trace_ = 0;
};

}  // namespace p11ha::simulation
