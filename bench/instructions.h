// How many instructions a call takes, counted by callgrind.
#pragma once

#include <functional>
#include <span>

#include "bench/subject.h"

namespace p11ha::bench {

struct InstructionCount {
  std::string subject;
  const Workload* workload = nullptr;
  double total = 0;  // a call of the workload, its loop included
  /// What it executes outside the member's own C_ functions, beyond what the first subject does. Exact where the
  /// difference of the totals is not: the member's own cost differs a little from process to process.
  double added = 0;
};

/// Runs each workload `calls` times for each subject. The first subject is the member itself, whose module the others
/// end in. The error is ready to be shown.
base::Result<std::vector<InstructionCount>, std::string> countInstructions(
    std::span<const Subject> subjects, std::span<const Workload* const> workloads, unsigned long calls,
    const std::function<void(const std::string&)>& progress);

}  // namespace p11ha::bench
