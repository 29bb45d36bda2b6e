#include "bench/instructions.h"

#include <filesystem>
#include <fstream>

#include "bench/callgrind_profile.h"
#include "bench/temporary_folder.h"
#include "bench/worker.h"

namespace p11ha::bench {
namespace {

base::Result<CallgrindCosts, std::string> count(const Subject& subject, const Workload& workload, unsigned long calls,
                                                const std::string& module, const std::string& output) {
  const std::string what = subject.name + ", " + std::string(workload.name);
  const pid_t process = startAgain(
      subject, {"valgrind", "--tool=callgrind", "--quiet", "--collect-atstart=no", "--callgrind-out-file=" + output},
      {"counted", "--module", subject.token.module, "--token", subject.token.label, "--workload",
       std::string(workload.name), "--calls", std::to_string(calls)},
      -1);
  if (process < 0) return base::Failure{std::string("valgrind cannot be started (package valgrind)")};
  if (waitFor(process) != 0) return base::Failure{what + ": failed under callgrind"};
  std::ifstream file(output);
  const auto costs = readCallgrind(file, module);
  if (!costs || costs->total == 0) return base::Failure{what + ": callgrind counted nothing"};
  return *costs;
}

}  // namespace

base::Result<std::vector<InstructionCount>, std::string> countInstructions(
    std::span<const Subject> subjects, std::span<const Workload* const> workloads, unsigned long calls,
    const std::function<void(const std::string&)>& progress) {
  const TemporaryFolder folder;
  std::error_code none;
  const std::string module = std::filesystem::canonical(subjects.front().token.module, none).string();
  std::vector<InstructionCount> counts;
  for (const Workload* workload : workloads) {
    double outsideDirect = 0;
    for (const Subject& subject : subjects) {
      progress("instructions of " + std::string(workload->name) + ", " + subject.name);
      const auto costs = count(subject, *workload, calls, module, (folder.path() / "callgrind.out").string());
      if (!costs) return base::Failure{costs.error()};
      const auto each = [calls](std::uint64_t all) { return static_cast<double>(all) / static_cast<double>(calls); };
      const double outside = each(costs->total - costs->inModule);
      if (&subject == &subjects.front()) outsideDirect = outside;
      counts.push_back({subject.name, workload, each(costs->total), outside - outsideDirect});
    }
  }
  return counts;
}

}  // namespace p11ha::bench
