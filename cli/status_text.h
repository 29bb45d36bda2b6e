// What running applications say of their groups, as a table (compose/status_report.h).
#pragma once

#include <string>
#include <vector>

#include "cli/answer.h"
#include "compose/status_report.h"
#include "config/settings.h"

namespace p11ha::cli {

struct StatusLook {
  bool colour = false;
  /// What was read before, for calls a second; nullptr: nothing.
  const std::vector<compose::ProcessReport>* before = nullptr;
};

/// Where applications write what they say.
std::string statusDirectory(const config::Settings& settings);

/// Pure, as what follows.
std::string statusTable(const std::vector<compose::ProcessReport>& reports, const StatusLook& look);
Json statusJson(const std::vector<compose::ProcessReport>& reports);

/// The reports without groups of other serial numbers, and without processes that have no other.
std::vector<compose::ProcessReport> onlyGroup(std::vector<compose::ProcessReport> reports, const std::string& serial);

}  // namespace p11ha::cli
