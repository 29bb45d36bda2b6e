// The rules in force, and what they say of a call.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "cryptoki/call.h"
#include "testbed/failing_module/rule.h"

namespace p11ha::testbed {

/// Whose call it is: `library` for the calls that name no slot.
struct Subject {
  bool library = true;
  CK_SLOT_ID slot = 0;
  std::string serial;
};

struct Verdict {
  enum class Kind : std::uint8_t { Pass, Answer, PassThenAnswer, Delay, Hang };
  Kind kind = Kind::Pass;
  CK_RV rv = CKR_OK;
  std::uint64_t rule = 0;  // of a delay or a hang
  std::chrono::milliseconds delay{0};
};

/// Constant but for how often a rule with `times` still applies. Any thread.
class RuleSet {
 public:
  /// Rules that were in `before` already go on counting where they are.
  RuleSet(const std::vector<Rule>& rules, const RuleSet* before);

  /// `served`: the delays and hangs this call has been through.
  Verdict judge(const Subject& subject, const cryptoki::Call& call, const std::vector<std::uint64_t>& served) const;

  bool unplugs(const Subject& subject) const { return has(Action::Unplug, subject); }
  bool deactivates(const Subject& subject) const { return has(Action::Deactivate, subject); }
  bool unplugsAny() const;
  bool contains(std::uint64_t id) const;
  bool empty() const { return rules_.empty(); }

 private:
  struct Entry {
    Rule rule;
    std::shared_ptr<std::atomic<std::uint64_t>> left;  // null: without end
  };
  bool has(Action action, const Subject& subject) const;

  std::vector<Entry> rules_;
};

}  // namespace p11ha::testbed
