// p11ha-conformance: does a group answer as its member does?
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "tests/conformance/chapters/scenario.h"
#include "tests/conformance/comparison/report.h"
#include "tests/conformance/run/profile.h"
#include "tests/conformance/run/side.h"

namespace p11ha::conformance {
namespace {

constexpr char kUsage[] =
    R"(usage: p11ha-conformance [--profile FILE] [--members N] [--group FILE] [--only TEXT] [--differences FILE]
       p11ha-conformance --list

Runs the same scripts of PKCS#11 calls on a module and on a group over that module, and compares call by call.

--profile FILE      the script that makes tokens of the module (profiles/softhsm.sh)
--members N         how many tokens the group is over (1)
--group FILE        the library that makes a group of them (libp11ha.so of the build); "none" compares the module with
                    itself
--only TEXT         only the scenarios whose names contain TEXT
--differences FILE  also writes the unintended differences there, one a line
--list              the scenarios, but for those of single mechanisms

Status 0: no difference but those intended (comparison/intended_differences.def), every function compared, no row of
that table without its difference. 1: otherwise. 2: wrong usage. 77: the
profile's tokens cannot be had on this machine.
)";

struct Options {
  std::string profile = P11HA_SOURCE_DIR "/tests/conformance/profiles/softhsm.sh";
  std::string group = P11HA_BINARY_DIR "/lib/libp11ha.so";
  std::size_t members = 1;
  std::string only;
  std::string differences;
};

// "softhsm 3", "softhsm remote 1".
std::string setting(const Options& options) {
  std::string name = std::filesystem::path(options.profile).stem().string();
  std::replace(name.begin(), name.end(), '-', ' ');
  return name + ' ' + std::to_string(options.members);
}

// Runs scenarios on several threads, each with tokens of its own.
class Run {
 public:
  explicit Run(const Options& options) : options_(options), report_(setting(options), intendedDifferences()) {}

  Report& all() {
    for (const Scenario& scenario : fixedScenarios()) add(scenario.name);
    for (const std::string& name : mechanisms()) add(name);
    std::vector<std::thread> workers;
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
      workers.emplace_back([this] { work(); });
    }
    for (std::thread& worker : workers) worker.join();
    return report_;
  }

 private:
  void add(const std::string& scenario) {
    if (scenario.find(options_.only) != std::string::npos) waiting_.push_back(scenario);
  }

  // Those that the reference offers.
  std::vector<std::string> mechanisms() const {
    std::vector<std::string> names;
    Side reference(options_.profile, 1, "");
    for (const Entry& entry : reference.run("general information", {})) {
      if (entry.function != "C_GetMechanismList") continue;
      for (const Output& output : entry.outputs) {
        if (output.value == "offered") names.push_back(mechanismScenarioName(output.name));
      }
    }
    return names;
  }

  void work() {
    try {
      Side reference(options_.profile, 1, "");
      Side subject(options_.profile, options_.members, options_.group);
      for (std::string scenario; next(scenario);) one(reference, subject, scenario);
    } catch (const std::exception& error) {
      const std::lock_guard lock(mutex_);
      report_.addFailure(error.what());
    }
  }

  bool next(std::string& scenario) {
    const std::lock_guard lock(mutex_);
    if (begun_ == waiting_.size()) return false;
    scenario = waiting_[begun_++];
    return true;
  }

  void one(Side& reference, Side& subject, const std::string& scenario) {
    try {
      const Transcript expected = reference.run(scenario, {});
      const Transcript got = subject.run(scenario, Side::deaths(expected));
      Comparison comparison = compare(expected, got);
      const std::lock_guard lock(mutex_);
      report_.add(scenario, std::move(comparison));
    } catch (const std::exception& error) {
      const std::lock_guard lock(mutex_);
      report_.addFailure(error.what());
    }
  }

  const Options& options_;
  std::vector<std::string> waiting_;
  std::mutex mutex_;
  std::size_t begun_ = 0;
  Report report_;
};

int misused(const std::string& what) {
  std::cerr << "p11ha-conformance: " << what << '\n' << kUsage;
  return 2;
}

int compareAll(const Options& options) {
  Run run(options);
  const Report& report = run.all();
  const bool whole = options.only.empty();
  report.print(std::cout, whole);
  if (!options.differences.empty()) {
    std::ofstream file(options.differences);
    report.printDifferences(file);
  }
  return report.passed(whole) ? 0 : 1;
}

int main(const std::vector<std::string>& arguments) {
  if (arguments.size() == 9 && arguments[0] == "--record") {
    const int status = record({arguments[1],
                               arguments[2],
                               {arguments[3], arguments[4], arguments[5], arguments[6]},
                               arguments[7],
                               arguments[8]});
    std::cerr.flush();
    _exit(status);  // how modules end is no matter of this suite
  }
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& option = arguments[i];
    if (option == "--help" || option == "-h") {
      std::cout << kUsage;
      return 0;
    }
    if (option == "--list") {
      for (const Scenario& scenario : fixedScenarios()) std::cout << scenario.name << '\n';
      return 0;
    }
    if (i + 1 == arguments.size()) return misused("\"" + option + "\" is no option, or has no value");
    const std::string& value = arguments[++i];
    if (option == "--profile") {
      options.profile = value;
    } else if (option == "--members" && value.find_first_not_of("0123456789") == std::string::npos &&
               value.size() == 1 && value != "0") {
      options.members = static_cast<std::size_t>(value[0] - '0');
    } else if (option == "--group") {
      options.group = value == "none" ? "" : value;
    } else if (option == "--only") {
      options.only = value;
    } else if (option == "--differences") {
      options.differences = value;
    } else {
      return misused(std::string("\"").append(option).append(" ").append(value).append("\" is not understood"));
    }
  }
  return compareAll(options);
}

}  // namespace
}  // namespace p11ha::conformance

int main(int count, char** words) {
  try {
    return p11ha::conformance::main({words + 1, words + count});
  } catch (const p11ha::conformance::Unavailable& error) {
    std::cerr << "p11ha-conformance: skipped: " << error.what() << '\n';
    return 77;
  } catch (const std::exception& error) {
    std::cerr << "p11ha-conformance: " << error.what() << '\n';
    return 1;
  }
}
