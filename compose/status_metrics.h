// A status report as Prometheus reads it.
#pragma once

#include <string>

#include "compose/status_report.h"

namespace p11ha::compose {

/// The text exposition format of Prometheus, version 0.0.4: the metrics of all groups' members, with the labels pid,
/// program, group (its label) and member (its serial). Pure; any thread.
std::string metrics(const ProcessReport& report);

}  // namespace p11ha::compose
