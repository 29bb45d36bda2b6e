#include "cli/status_text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "compose/status_reader.h"

namespace p11ha::cli {

using compose::GroupReport;
using compose::MemberReport;
using compose::Moment;
using compose::ProcessReport;

namespace {

std::string localTime(Moment moment) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(moment));
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
  return text.data();
}

std::string utc(Moment moment) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(moment));
  std::tm universal{};
  gmtime_r(&seconds, &universal);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &universal);
  return text.data();
}

std::string line(const std::string& serial, const std::string& state, const std::string& since,
                 const std::string& outstanding, const std::string& calls, const std::string& rate,
                 const std::string& failovers, const std::string& error) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), "%-17s %-11s %-19s %11s %12s %9s %9s  %s", escaped(serial).c_str(),
                escaped(state).c_str(), since.c_str(), outstanding.c_str(), calls.c_str(), rate.c_str(),
                failovers.c_str(), escaped(error).c_str());
  std::string result = text.data();
  result.erase(result.find_last_not_of(' ') + 1);
  return result + "\n";
}

const ProcessReport* sameProcess(const std::vector<ProcessReport>* reports, const ProcessReport& process) {
  if (reports == nullptr) return nullptr;
  const auto found = std::find_if(reports->begin(), reports->end(), [&](const ProcessReport& each) {
    return each.pid == process.pid && each.started == process.started;
  });
  return found == reports->end() ? nullptr : &*found;
}

const MemberReport* sameMember(const ProcessReport& process, const std::string& group, const std::string& serial) {
  for (const GroupReport& each : process.groups) {
    if (each.serial != group) continue;
    for (const MemberReport& member : each.members) {
      if (member.serial == serial) return &member;
    }
  }
  return nullptr;
}

// Between two reports of the process; "-" where there is but one.
std::string rateOf(const ProcessReport& now, const ProcessReport* before, const std::string& group,
                   const MemberReport& member) {
  const MemberReport* const then = before == nullptr ? nullptr : sameMember(*before, group, member.serial);
  if (then == nullptr || then->calls > member.calls) return "-";
  const auto milliseconds = (now.written - before->written).count();
  if (milliseconds <= 0) return "-";
  return std::to_string((member.calls - then->calls) * 1000 / static_cast<std::uint64_t>(milliseconds));
}

std::string_view colourOf(const MemberReport& member) {
  if (member.state == "active" || member.state == "standby") return "\033[32m";
  return member.state == "recovering" ? "\033[33m" : "\033[31m";
}

std::string memberLine(const ProcessReport& process, const ProcessReport* before, const std::string& group,
                       const MemberReport& member, bool colour) {
  std::string error = member.lastError == "CKR_OK" ? "" : member.lastError;
  if (!member.cause.empty()) error += (error.empty() ? "" : ", ") + member.cause;
  if (!member.problem.empty()) error += (error.empty() ? "" : ", ") + member.problem;
  std::string text = line(member.serial, member.state, localTime(member.since), std::to_string(member.outstanding),
                          std::to_string(member.calls), rateOf(process, before, group, member),
                          std::to_string(member.failovers), error);
  if (!colour) return text;
  text.pop_back();
  return std::string(colourOf(member)) + text + "\033[0m\n";
}

}  // namespace

std::string statusDirectory(const config::Settings& settings) {
  return settings.tuning.statusPath.empty() ? compose::kStatusDirectory : settings.tuning.statusPath;
}

std::string statusTable(const std::vector<ProcessReport>& reports, const StatusLook& look) {
  if (reports.empty()) return sentence("No running application reports.");
  std::string text;
  for (const ProcessReport& process : reports) {
    const ProcessReport* const before = sameProcess(look.before, process);
    for (const GroupReport& group : process.groups) {
      if (!text.empty()) text += "\n";
      text += sentence("HA group " + escaped(group.label) + " (" + escaped(group.serial) + ") in process " +
                       std::to_string(process.pid) + " (" + escaped(process.program) + ")" +
                       (group.allLostSince ? ": all members lost since " + localTime(*group.allLostSince) : ""));
      text += line("Member S/N", "State", "Since", "Outstanding", "Calls", "Calls/s", "Failovers", "Last Error");
      for (const MemberReport& member : group.members)
        text += memberLine(process, before, group.serial, member, look.colour);
    }
  }
  return text;
}

Json statusJson(const std::vector<ProcessReport>& reports) {
  Json processes = Json::array();
  for (const ProcessReport& process : reports) {
    Json groups = Json::array();
    for (const GroupReport& group : process.groups) {
      Json members = Json::array();
      for (const MemberReport& member : group.members) {
        members.push_back({{"serial", member.serial},
                           {"state", member.state},
                           {"serves", member.serves},
                           {"cause", member.cause},
                           {"since", utc(member.since)},
                           {"attempts", member.attempts},
                           {"nextAttempt", member.nextAttempt ? Json(utc(*member.nextAttempt)) : Json()},
                           {"outstanding", member.outstanding},
                           {"calls", member.calls},
                           {"failovers", member.failovers},
                           {"lastError", member.lastError},
                           {"problem", member.problem}});
      }
      groups.push_back({{"label", group.label},
                        {"number", group.serial},
                        {"allLostSince", group.allLostSince ? Json(utc(*group.allLostSince)) : Json()},
                        {"members", members}});
    }
    processes.push_back(
        {{"pid", process.pid}, {"program", process.program}, {"written", utc(process.written)}, {"groups", groups}});
  }
  return {{"processes", processes}};
}

std::vector<ProcessReport> onlyGroup(std::vector<ProcessReport> reports, const std::string& serial) {
  for (ProcessReport& process : reports)
    std::erase_if(process.groups, [&](const GroupReport& group) { return group.serial != serial; });
  std::erase_if(reports, [](const ProcessReport& process) { return process.groups.empty(); });
  return reports;
}

}  // namespace p11ha::cli
