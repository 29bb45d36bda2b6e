// Results as tables and as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>

#include "bench/compare.h"
#include "bench/instructions.h"
#include "bench/log_rate.h"
#include "bench/table.h"

namespace p11ha::bench {

/// All that was measured: a row each.
std::string comparisonTable(std::span<const Comparison> comparisons, Style style);
/// Only throughput, each subject against the first: a row a workload, a column for each number of threads.
std::string ratioTable(std::span<const Comparison> comparisons, Style style);
/// The first subject's instructions, and what the others add.
std::string instructionTable(std::span<const InstructionCount> counts, Style style);
std::string logTable(std::span<const LogRate> rates, Style style);

nlohmann::json toJson(std::span<const Comparison> comparisons);
nlohmann::json toJson(std::span<const InstructionCount> counts);
nlohmann::json toJson(std::span<const LogRate> rates);

}  // namespace p11ha::bench
