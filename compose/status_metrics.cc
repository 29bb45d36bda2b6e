#include "compose/status_metrics.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <string_view>

#include "halog/escape.h"

namespace p11ha::compose {
namespace {

// The format takes any UTF-8, and three escapes; what halog makes \xHH of is shown as that.
void appendLabelValue(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const std::size_t at = std::min(text.find_first_of("\"\\"), text.size());
    std::string plain;
    halog::appendEscaped(plain, text.substr(0, at));
    for (const char c : plain) out.append(c == '\\' ? 2 : 1, c);
    if (at == text.size()) return;
    out += '\\';
    out += text[at];
    text.remove_prefix(at + 1);
  }
}

void appendLabel(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += "=\"";
  appendLabelValue(out, value);
  out += '"';
}

std::string secondsOf(std::chrono::milliseconds time) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3f", static_cast<double>(time.count()) / 1000);
  return text.data();
}

struct Metric {
  std::string_view name;
  std::string_view type;
  std::string_view help;
  std::function<std::string(const MemberReport&)> value;
};

}  // namespace

std::string metrics(const ProcessReport& report) {
  const auto flag = [](bool value) { return std::string(value ? "1" : "0"); };
  const Metric all[] = {
      {"p11ha_member_up", "gauge", "Whether the member is active, standby members included.",
       [&](const MemberReport& m) { return flag(m.state == "active" || m.state == "standby"); }},
      {"p11ha_member_serving", "gauge", "Whether calls go to the member.",
       [&](const MemberReport& m) { return flag(m.serves); }},
      {"p11ha_member_state_since_seconds", "gauge", "When the member came to its present state, as Unix time.",
       [](const MemberReport& m) { return secondsOf(m.since.time_since_epoch()); }},
      {"p11ha_member_recovery_attempts", "gauge", "Attempts to recover the member in this outage.",
       [](const MemberReport& m) { return std::to_string(m.attempts); }},
      {"p11ha_member_outstanding_calls", "gauge", "Calls that run on the member now.",
       [](const MemberReport& m) { return std::to_string(m.outstanding); }},
      {"p11ha_member_calls_total", "counter", "Calls made on the member since C_Initialize.",
       [](const MemberReport& m) { return std::to_string(m.calls); }},
      {"p11ha_member_failovers_total", "counter", "Calls that lost the member and went on to another.",
       [](const MemberReport& m) { return std::to_string(m.failovers); }},
      {"p11ha_member_state", "gauge", "1 for the state that the member is in, with its cause.",
       [](const MemberReport&) { return std::string("1"); }},
  };
  std::string out;
  for (const Metric& metric : all) {
    out.append("# HELP ").append(metric.name).append(" ").append(metric.help).append("\n");
    out.append("# TYPE ").append(metric.name).append(" ").append(metric.type).append("\n");
    for (const GroupReport& group : report.groups) {
      for (const MemberReport& member : group.members) {
        out.append(metric.name);
        appendLabel(out, "{pid", std::to_string(report.pid));
        appendLabel(out, ",program", report.program);
        appendLabel(out, ",group", group.label);
        appendLabel(out, ",member", member.serial);
        if (metric.name == "p11ha_member_state") {
          appendLabel(out, ",state", member.state);
          appendLabel(out, ",cause", member.cause);
        }
        out.append("} ").append(metric.value(member)).append("\n");
      }
    }
  }
  return out;
}

}  // namespace p11ha::compose
