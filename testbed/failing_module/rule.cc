#include "testbed/failing_module/rule.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>

#include "cryptoki/return_codes.h"

namespace p11ha::testbed {
namespace {

using cryptoki::Fn;
using Calls = std::bitset<cryptoki::kFunctionCount>;

struct ActionName {
  Action action;
  std::string_view name;
};
constexpr ActionName kActions[] = {{Action::Fail, "fail"},
                                   {Action::Delay, "delay"},
                                   {Action::Hang, "hang"},
                                   {Action::Unplug, "unplug"},
                                   {Action::Deactivate, "deactivate"}};

template <class Number>
std::optional<Number> parseNumber(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  }
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool untouchable(Fn fn) { return fn == Fn::GetFunctionList || fn == Fn::GetInterfaceList || fn == Fn::GetInterface; }

base::Result<Calls, std::string> parseCalls(std::string_view text) {
  if (text == "*") return allCalls();
  Calls calls;
  while (true) {
    const auto comma = text.find(',');
    const std::string_view name = text.substr(0, comma);
    const Fn* fn = cryptoki::findFunction(name);
    if (fn == nullptr) {
      return base::Failure{"\"" + std::string(name) + "\" is no PKCS#11 function (expected C_Sign,C_Verify or *)"};
    }
    if (untouchable(*fn)) return base::Failure{std::string(name) + " cannot be made to fail"};
    calls.set(static_cast<std::size_t>(*fn));
    if (comma == std::string_view::npos) return calls;
    text.remove_prefix(comma + 1);
  }
}

std::string callsText(const Calls& calls) {
  if (calls == allCalls()) return "*";
  std::string text;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (!calls.test(i)) continue;
    if (!text.empty()) text += ',';
    text += cryptoki::function(static_cast<Fn>(i)).name;
  }
  return text;
}

std::string rvText(CK_RV rv) {
  std::string name = cryptoki::returnCodeName(rv);
  if (cryptoki::findReturnCode(name)) return name;
  char number[24];
  std::snprintf(number, sizeof number, "0x%lx", rv);
  return number;
}

// What follows the calls of a rule: each word is taken from the front.
class Words {
 public:
  explicit Words(std::span<const std::string> words) : words_(words) {}
  bool empty() const { return words_.empty(); }
  bool takeIf(std::string_view word) {
    if (empty() || words_.front() != word) return false;
    words_ = words_.subspan(1);
    return true;
  }
  std::string take() {
    if (empty()) return {};
    std::string word = words_.front();
    words_ = words_.subspan(1);
    return word;
  }

 private:
  std::span<const std::string> words_;
};

std::string parseFail(Words& words, Rule& rule) {
  const std::string text = words.take();
  const auto rv = cryptoki::findReturnCode(text);
  if (!rv) return "\"" + text + "\" is no return code (expected CKR_DEVICE_ERROR or 0x30)";
  rule.rv = *rv;
  rule.after = words.takeIf("after");
  return {};
}

std::string parseDelay(Words& words, Rule& rule) {
  const std::string text = words.take();
  const auto ms = parseNumber<std::uint32_t>(text);
  if (!ms) return "\"" + text + "\" is no number of milliseconds";
  rule.delayMs = *ms;
  return {};
}

std::string parseTimes(Words& words, Rule& rule) {
  if (!words.takeIf("times")) return {};
  const std::string text = words.take();
  const auto times = parseNumber<std::uint64_t>(text);
  if (!times || *times == 0) return "\"" + text + "\" is no number of times";
  rule.times = *times;
  return {};
}

std::string parseRest(Words& words, Rule& rule) {
  if (rule.action == Action::Unplug || rule.action == Action::Deactivate) return {};
  const std::string text = words.take();
  if (text.empty() && rule.action != Action::Hang) return "which calls? (expected C_Sign,C_Verify or *)";
  const auto calls = parseCalls(text.empty() ? "*" : text);
  if (!calls) return calls.error();
  rule.calls = *calls;
  std::string error;
  if (rule.action == Action::Fail) error = parseFail(words, rule);
  if (rule.action == Action::Delay) error = parseDelay(words, rule);
  return error.empty() ? parseTimes(words, rule) : error;
}

}  // namespace

bool Target::covers(CK_SLOT_ID ofSlot, std::string_view ofSerial) const {
  switch (kind) {
    case Kind::Any:
      return true;
    case Kind::Slot:
      return slot == ofSlot;
    case Kind::Serial:
      return serial == ofSerial;
  }
  return false;
}

std::string Target::text() const {
  switch (kind) {
    case Kind::Slot:
      return std::to_string(slot);
    case Kind::Serial:
      return "serial:" + serial;
    case Kind::Any:
      break;
  }
  return "any";
}

Calls allCalls() {
  Calls calls;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Fn fn = static_cast<Fn>(i);
    calls.set(i, !untouchable(fn) && fn != Fn::Initialize && fn != Fn::Finalize);
  }
  return calls;
}

base::Result<Target, std::string> parseTarget(std::string_view text) {
  constexpr std::string_view kSerial = "serial:";
  if (text == "any") return Target{};
  if (text.starts_with(kSerial) && text.size() > kSerial.size()) {
    return Target{Target::Kind::Serial, 0, std::string(text.substr(kSerial.size()))};
  }
  if (const auto slot = parseNumber<CK_SLOT_ID>(text)) return Target{Target::Kind::Slot, *slot, {}};
  return base::Failure{"\"" + std::string(text) + "\" names no slot (expected a number, serial:SERIAL or any)"};
}

base::Result<Rule, std::string> parseRule(std::span<const std::string> text) {
  Words words(text);
  Rule rule;
  const std::string name = words.take();
  const auto* action =
      std::find_if(std::begin(kActions), std::end(kActions), [&](const ActionName& each) { return each.name == name; });
  if (action == std::end(kActions)) return base::Failure{"\"" + name + "\" is no command"};
  rule.action = action->action;
  const auto target = parseTarget(words.take());
  if (!target) return base::Failure{target.error()};
  rule.target = *target;
  const std::string error = parseRest(words, rule);
  if (!error.empty()) return base::Failure{error};
  if (!words.empty()) return base::Failure{"\"" + words.take() + "\" is too much"};
  return rule;
}

std::string ruleText(const Rule& rule) {
  std::string text;
  for (const ActionName& each : kActions) {
    if (each.action == rule.action) text = each.name;
  }
  text += ' ' + rule.target.text();
  if (rule.action == Action::Unplug || rule.action == Action::Deactivate) return text;
  text += ' ' + callsText(rule.calls);
  if (rule.action == Action::Fail) text += ' ' + rvText(rule.rv) + (rule.after ? " after" : "");
  if (rule.action == Action::Delay) text += ' ' + std::to_string(rule.delayMs);
  if (rule.times != 0) text += " times " + std::to_string(rule.times);
  return text;
}

std::vector<std::string> splitWords(std::string_view line) {
  std::vector<std::string> words;
  while (true) {
    const auto begin = line.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return words;
    const auto end = std::min(line.find_first_of(" \t\r\n", begin), line.size());
    words.emplace_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

}  // namespace p11ha::testbed
