#include "cli/group_text.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "cli/commands/common.h"
#include "cryptoki/return_codes.h"

namespace p11ha::cli {
namespace {

constexpr std::size_t kSettingLabels = 31;  // up to the colon
constexpr std::size_t kGroupLabels = 24;
constexpr std::size_t kSynchronizationLabel = 23;  // so it is in the reference

std::string onOff(bool on) { return on ? "enabled" : "disabled"; }

std::string joined(const std::vector<std::string>& serials) { return serials.empty() ? "<none>" : listed(serials); }

bool logs(const config::Settings& settings) {
  return settings.ha.logStatus == config::LogStatus::Enabled && !settings.ha.logPath.empty();
}

std::string modeOf(const config::Settings& settings) {
  return settings.ha.activeRecovery == config::RecoveryMode::ActiveBasic ? "activeBasic" : "activeEnhanced";
}

std::string tableLine(const std::string& slot, const std::string& serial, const std::string& label,
                      const std::string& status) {
  std::array<char, 256> line{};
  std::snprintf(line.data(), line.size(), "%6s  %s%34s%10s\n", slot.c_str(), serial.c_str(), label.c_str(),
                status.c_str());
  return line.data();
}

// Applications have slots for members with HAOnly = 0 alone.
std::optional<unsigned> memberSlot(const GroupFacts& facts, const std::string& serial) {
  return facts.settings.ha.haOnly ? std::nullopt : facts.tokens.slotOf(serial);
}

std::string statusOf(const Token* token) {
  if (token == nullptr || !token->isThere()) return "down";
  switch (token->member->standing()) {
    case cryptoki::Standing::Deactivated:
      return "inactive";
    case cryptoki::Standing::Revoked:
      return "revoked";
    case cryptoki::Standing::Active:
      break;
  }
  return "alive";
}

std::string memberTable(const GroupFacts& facts) {
  std::string text =
      "Slot #    Member S/N                      Member Label    Status\n"
      "======    ==========                      ============    ======\n";
  for (const std::string& serial : facts.group.members) {
    const Token* const token = facts.tokens.find(serial);
    const bool isThere = token != nullptr && token->isThere();
    const auto slot = memberSlot(facts, serial);
    text += tableLine(slot ? std::to_string(*slot) : "------", serial, isThere ? token->label() : "------------",
                      statusOf(token));
  }
  return text;
}

}  // namespace

std::string needsSyncText(const Contents* contents) {
  const auto needsSync = contents == nullptr ? std::nullopt : contents->needsSyncAtAll();
  if (!needsSync) return "unknown";
  return *needsSync ? "yes" : "no";
}

std::string settingsText(const config::Settings& settings) {
  const config::HaConfiguration& ha = settings.ha;
  const auto line = [](std::string_view label, const std::string& value) {
    return row(label, value, kSettingLabels, "  ");
  };
  return line("HA auto recovery:", onOff(ha.reconnectAttempts != 0)) + line("HA recovery mode:", modeOf(settings)) +
         line("Maximum auto recovery retry:",
              ha.reconnectAttempts < 0 ? "infinite" : std::to_string(ha.reconnectAttempts)) +
         line("Auto recovery poll interval:", std::to_string(ha.autoReconnectInterval.count()) + " seconds") +
         line("HA logging:", onOff(logs(settings))) + line("Only Show HA Slots:", ha.haOnly ? "yes" : "no");
}

Json settingsJson(const config::Settings& settings) {
  const config::HaConfiguration& ha = settings.ha;
  return {{"autoRecovery", ha.reconnectAttempts != 0},
          {"recoveryMode", modeOf(settings)},
          {"retryCount", ha.reconnectAttempts},
          {"interval", ha.autoReconnectInterval.count()},
          {"logging", logs(settings)},
          {"haOnly", ha.haOnly}};
}

std::string groupText(const GroupFacts& facts) {
  const auto line = [](std::string_view label, const std::string& value) {
    return row(label, value, kGroupLabels, "  ");
  };
  return line("HA Group Label:", facts.group.label) + line("HA Group Number:", facts.group.serial) +
         line("HA Group Slot ID:", facts.slot ? std::to_string(*facts.slot) : "Not Available") +
         row("Synchronization:", onOff(facts.group.synchronize), kSynchronizationLabel, " ") +
         line("Group Members:", joined(facts.group.members)) + line("Needs sync:", needsSyncText(facts.contents)) +
         line("Standby Members:", joined(facts.group.standby)) + "\n" + memberTable(facts);
}

Json groupJson(const GroupFacts& facts) {
  Json members = Json::array();
  for (std::size_t i = 0; i < facts.group.members.size(); ++i) {
    const std::string& serial = facts.group.members[i];
    const Token* const token = facts.tokens.find(serial);
    const bool isThere = token != nullptr && token->isThere();
    const bool isKnown = facts.contents != nullptr && facts.contents->read[i] == CKR_OK;
    const auto slot = memberSlot(facts, serial);
    members.push_back({{"serial", serial},
                       {"label", isThere ? Json(token->plainLabel()) : Json()},
                       {"slot", slot ? Json(*slot) : Json()},
                       {"status", statusOf(token)},
                       {"standby", std::find(facts.group.standby.begin(), facts.group.standby.end(), serial) !=
                                       facts.group.standby.end()},
                       {"objects", isKnown ? Json(facts.contents->count(i)) : Json()},
                       {"missing", isKnown ? Json(facts.contents->items.size() - facts.contents->count(i)) : Json()}});
  }
  const std::string sync = needsSyncText(facts.contents);
  return {{"label", facts.group.label},
          {"number", facts.group.serial},
          {"slot", facts.slot ? Json(*facts.slot) : Json()},
          {"synchronization", facts.group.synchronize},
          {"needsSync", sync == "unknown" ? Json() : Json(sync == "yes")},
          {"members", members}};
}

}  // namespace p11ha::cli
