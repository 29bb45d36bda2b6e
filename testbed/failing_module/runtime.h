// A failing module at work: judges each call by the rules in force, and passes on what they let through.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "testbed/failing_module/control_dir.h"
#include "testbed/failing_module/listener.h"
#include "testbed/failing_module/rule_set.h"
#include "testbed/failing_module/slot.h"

namespace p11ha::testbed {

/// One for each copy of the library in a process, never destroyed: calls may be on their way when the process ends.
/// initialize(), and handle() of C_Finalize, from one thread at a time; all else from any.
class Runtime {
 public:
  explicit Runtime(const cryptoki::FunctionList& wrapped);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  CK_RV initialize(const cryptoki::Call& call);
  CK_RV handle(const cryptoki::Call& call);

  bool running() const { return running_.load(std::memory_order_acquire); }
  /// Made by this process, not by the one it was forked from.
  bool own() const;
  /// In the child of a fork: touches nothing that another thread of the parent may have held.
  void abandon() { listener_.abandon(); }

 private:
  // Control.
  bool startControl();
  void stopControl();
  std::string answer(std::string_view request);
  std::string readRules() P11HA_EXCLUDES(applying_);  // what went wrong, or nothing
  void apply(const std::vector<Rule>& rules) P11HA_REQUIRES(applying_);
  void publish(std::unique_ptr<const RuleSet> rules);
  void replug(Slot& slot);
  void endLogin(Slot& slot);
  std::string tallyText();

  // Calls.
  Slot* slotOf(const cryptoki::Call& call);
  Subject subjectOf(Slot* slot);
  CK_RV judged(const cryptoki::Call& call, Slot* slot, Counters::Counter& counter);
  CK_RV pass(const cryptoki::Call& call, Slot* slot, const RuleSet* rules, Counters::Counter& counter);
  CK_RV initializeWrapped(const cryptoki::Call& call);
  CK_RV finalize(const cryptoki::Call& call);
  CK_RV listSlots(const cryptoki::Call& call, const RuleSet& rules);
  void amendInfo(const cryptoki::Call& call, Slot& slot, const RuleSet& rules);
  bool hold(const Verdict& verdict, Counters::Counter& counter);

  const cryptoki::FunctionList wrapped_;
  const long pid_;
  std::optional<ControlDir> dir_;
  Listener listener_;
  Slots slots_;
  Sessions sessions_;
  Counters unslotted_;
  std::atomic<bool> running_{false};

  std::atomic<const RuleSet*> rules_{nullptr};  // null: none, the one thing that a call looks at then
  base::Mutex applying_;
  base::Mutex mutex_;
  base::Condition changed_;
  std::vector<std::unique_ptr<const RuleSet>> published_ P11HA_GUARDED_BY(mutex_);  // calls may hold any of them
  std::uint64_t cycle_ P11HA_GUARDED_BY(mutex_) = 0;  // one more at each finalize: whoever waits gives up
};

}  // namespace p11ha::testbed
