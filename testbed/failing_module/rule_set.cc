#include "testbed/failing_module/rule_set.h"

#include <algorithm>

namespace p11ha::testbed {
namespace {

using cryptoki::Fn;
using cryptoki::Route;

bool covers(const Rule& rule, const Subject& subject) {
  return subject.library ? rule.target.kind == Target::Kind::Any : rule.target.covers(subject.slot, subject.serial);
}

// PKCS #11 v3.0, 5.1.1 to 5.1.3: what a call answers whose token was taken out.
Verdict withoutToken(const cryptoki::Call& call) {
  switch (cryptoki::function(call.fn).route) {
    case Route::Session:
      return {Verdict::Kind::Answer, CKR_DEVICE_REMOVED};
    case Route::Slot:
      break;
    case Route::Library:
      return {};
  }
  return call.fn == Fn::GetSlotInfo ? Verdict{} : Verdict{Verdict::Kind::Answer, CKR_TOKEN_NOT_PRESENT};
}

Verdict withoutLogin(const cryptoki::Call& call) {
  if (cryptoki::function(call.fn).route != Route::Session) return {};
  switch (call.fn) {
    case Fn::Login:
    case Fn::LoginUser:
      return {Verdict::Kind::Answer, CKR_USER_PIN_NOT_INITIALIZED};
    case Fn::CloseSession:
    case Fn::GetSessionInfo:
    case Fn::SessionCancel:
      return {};
    default:
      return {Verdict::Kind::Answer, CKR_USER_NOT_LOGGED_IN};
  }
}

Verdict apply(const Rule& rule, const cryptoki::Call& call) {
  switch (rule.action) {
    case Action::Unplug:
      return withoutToken(call);
    case Action::Deactivate:
      return withoutLogin(call);
    case Action::Fail:
      return {rule.after ? Verdict::Kind::PassThenAnswer : Verdict::Kind::Answer, rule.rv};
    case Action::Delay:
      return {Verdict::Kind::Delay, CKR_OK, rule.id, std::chrono::milliseconds(rule.delayMs)};
    case Action::Hang:
      return {Verdict::Kind::Hang, CKR_OK, rule.id};
  }
  return {};
}

bool takeOne(std::atomic<std::uint64_t>& left) {
  std::uint64_t seen = left.load(std::memory_order_relaxed);
  while (seen != 0) {
    if (left.compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

int rank(Action action) {
  switch (action) {
    case Action::Unplug:
      return 0;
    case Action::Deactivate:
      return 1;
    case Action::Delay:
    case Action::Hang:
      return 2;
    case Action::Fail:
      break;
  }
  return 3;
}

bool concerns(const Rule& rule, Fn fn) {
  return rule.action == Action::Unplug || rule.action == Action::Deactivate || rule.names(fn);
}

}  // namespace

RuleSet::RuleSet(const std::vector<Rule>& rules, const RuleSet* before) {
  for (const Rule& rule : rules) {
    Entry entry{rule, nullptr};
    if (rule.times != 0) entry.left = std::make_shared<std::atomic<std::uint64_t>>(rule.times);
    if (before != nullptr) {
      const auto known = std::find_if(before->rules_.begin(), before->rules_.end(),
                                      [&](const Entry& each) { return each.rule.id == rule.id; });
      if (known != before->rules_.end()) entry.left = known->left;
    }
    rules_.push_back(std::move(entry));
  }
  // A token that is not there says so at once; one that is slow is slow to fail, too.
  std::stable_sort(rules_.begin(), rules_.end(),
                   [](const Entry& a, const Entry& b) { return rank(a.rule.action) < rank(b.rule.action); });
}

Verdict RuleSet::judge(const Subject& subject, const cryptoki::Call& call,
                       const std::vector<std::uint64_t>& served) const {
  for (const Entry& entry : rules_) {
    const Rule& rule = entry.rule;
    if (!covers(rule, subject) || !concerns(rule, call.fn)) continue;
    if (std::find(served.begin(), served.end(), rule.id) != served.end()) continue;
    const Verdict verdict = apply(rule, call);
    if (verdict.kind == Verdict::Kind::Pass) continue;
    if (entry.left != nullptr && !takeOne(*entry.left)) continue;
    return verdict;
  }
  return {};
}

bool RuleSet::has(Action action, const Subject& subject) const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [&](const Entry& each) { return each.rule.action == action && covers(each.rule, subject); });
}

bool RuleSet::unplugsAny() const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [](const Entry& each) { return each.rule.action == Action::Unplug; });
}

bool RuleSet::contains(std::uint64_t id) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](const Entry& each) { return each.rule.id == id; });
}

}  // namespace p11ha::testbed
