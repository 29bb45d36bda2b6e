// p11ha-bench: what a group costs, measured beside the member it stands on.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bench/bare_copy.h"
#include "bench/counted.h"
#include "bench/memory.h"
#include "bench/mixed_objects.h"
#include "bench/rejoin.h"
#include "bench/report.h"
#include "bench/worker.h"

namespace {

using namespace p11ha::bench;

struct Options {
  std::vector<std::string> subjects;
  std::vector<std::string> workloads;
  std::vector<unsigned> threads{1, 2, 8, 64};
  unsigned rounds = 10;
  unsigned roundMilliseconds = 200;
  unsigned long calls = 1000;
  unsigned logLines = 20000;
  bool json = false;
  bool markdown = false;

  // Of the processes that this program starts itself.
  std::string module;
  std::string token;
  std::string workload;
  int socket = -1;

  // Of what bench/keys.sh is made of.
  std::string otherToken;
  unsigned long sets = 1;
  std::string configuration;
  std::string with;
  std::string haLog;

  Style style() const { return markdown ? Style::Markdown : Style::Text; }
  Token::Spec own() const {
    const char* pin = std::getenv("P11HA_PIN");
    return {module, token, pin == nullptr ? "" : pin};
  }
  Token::Spec other() const {
    Token::Spec spec = own();
    spec.label = otherToken;
    return spec;
  }
};

int failed(const std::string& why) {
  std::fprintf(stderr, "p11ha-bench: %s\n", why.c_str());
  return 1;
}

// What is going on, for somebody who looks on; gone when it is over.
void progress(const std::string& what) {
  if (isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r\x1b[K%s", what.c_str());
}

struct Chosen {
  std::vector<Subject> subjects;
  std::vector<const Workload*> workloads;
};

p11ha::base::Result<Chosen, std::string> choose(const Options& options) {
  Chosen chosen;
  for (const std::string& text : options.subjects) {
    auto subject = parseSubject(text);
    if (!subject) return p11ha::base::Failure{subject.error()};
    chosen.subjects.push_back(std::move(*subject));
  }
  for (const std::string& name : options.workloads) {
    const Workload* workload = findWorkload(name);
    if (workload == nullptr) return p11ha::base::Failure{"no workload \"" + name + "\"; see `p11ha-bench list`"};
    chosen.workloads.push_back(workload);
  }
  if (chosen.workloads.empty()) {
    for (const Workload& workload : workloads()) {
      if (!workload.onDemand) chosen.workloads.push_back(&workload);
    }
  }
  return chosen;
}

template <class Results>
void show(const Options& options, const char* key, const Results& results,
          std::string (*table)(std::span<const typename Results::value_type>, Style)) {
  progress("");
  const std::string text =
      options.json ? nlohmann::json{{key, toJson(results)}}.dump() + "\n" : table(results, options.style());
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

// An answer other than CKR_OK makes a measurement worthless.
int verdict(const std::vector<Comparison>& comparisons) {
  for (const Comparison& one : comparisons) {
    if (one.errors != 0) {
      return failed(one.subject + ", " + std::string(one.workload->name) + ": " + std::to_string(one.errors) +
                    " errors, the first " + one.firstError);
    }
  }
  return 0;
}

int runCompare(const Options& options, std::string (*table)(std::span<const Comparison>, Style)) {
  const auto chosen = choose(options);
  if (!chosen) return failed(chosen.error());
  const auto results = compare(
      chosen->subjects,
      {chosen->workloads, options.threads, options.rounds, std::chrono::milliseconds(options.roundMilliseconds)},
      progress);
  if (!results) return failed(results.error());
  show(options, "throughput", *results, table);
  return verdict(*results);
}

int runCount(const Options& options) {
  const auto chosen = choose(options);
  if (!chosen) return failed(chosen.error());
  const auto results = countInstructions(chosen->subjects, chosen->workloads, options.calls, progress);
  if (!results) return failed(results.error());
  show(options, "instructions", *results, instructionTable);
  return 0;
}

int runLog(const Options& options) {
  const std::vector<LogRate> rates = measureLog(options.rounds, options.logLines);
  show(options, "log", rates, logTable);
  return 0;
}

int runTable(const Options& options) {
  const auto blank = [&options] {
    if (!options.json) std::fputs("\n", stdout);
  };
  if (const int status = runCount(options); status != 0) return status;
  blank();
  if (const int status = runCompare(options, ratioTable); status != 0) return status;
  blank();
  return runLog(options);
}

int runList() {
  Table table({"workload", "what"});
  for (const Workload& workload : workloads()) table.add({std::string(workload.name), std::string(workload.title)});
  std::fputs(table.format(Style::Text, 2).c_str(), stdout);
  return 0;
}

// How many objects, and in how many seconds.
void sayTimed(std::uint64_t objects, std::chrono::nanoseconds time) {
  std::printf("%llu %.3f\n", static_cast<unsigned long long>(objects), std::chrono::duration<double>(time).count());
}

int runCounted(const Options& options) {
  const Workload* workload = findWorkload(options.workload);
  if (workload == nullptr) return failed("no workload \"" + options.workload + "\"");
  const std::string wrong = runCounted(options.own(), *workload, options.calls);
  return wrong.empty() ? 0 : failed(wrong);
}

int runMakeObjects(const Options& options) {
  const auto token = Token::open(options.own());
  if (!token) return failed(token.error());
  const auto begun = std::chrono::steady_clock::now();
  if (const std::string wrong = makeMixedObjects(**token, options.sets); !wrong.empty()) return failed(wrong);
  sayTimed(options.sets * kMixedSet, std::chrono::steady_clock::now() - begun);
  return 0;
}

int runBareCopy(const Options& options) {
  const auto from = Token::open(options.own());
  const auto to = Token::open(options.other());
  if (!from || !to) return failed(from ? to.error() : from.error());
  const char* const soPin = std::getenv("P11HA_SO_PIN");
  const auto copied = copyBare(**from, **to, soPin == nullptr ? "" : soPin, options.own().pin);
  if (!copied) return failed(copied.error());
  sayTimed(copied->objects, copied->time);
  return 0;
}

int runRejoin(const Options& options) {
  const auto rejoin = measureRejoin(options.own(), options.configuration, options.with, options.haLog);
  if (!rejoin) return failed(rejoin.error());
  sayTimed(rejoin->objects, rejoin->time);
  return 0;
}

int runMemory(const Options& options) {
  std::vector<Token::Spec> specs{options.own()};
  if (!options.otherToken.empty()) specs.push_back(options.other());
  const auto memory = measureMemory(specs);
  if (!memory) return failed(memory.error());
  std::printf("%zu %zu %zu\n", memory->objects, memory->allocated, memory->resident);
  return 0;
}

void addSubjects(CLI::App* command, Options& options) {
  command
      ->add_option(
          "-s,--subject", options.subjects,
          "\"NAME module=PATH token=LABEL [pin=PIN] [server=PID ...] [VARIABLE=VALUE ...]\"; the others are compared "
          "with the first; the CPU time of the servers and of their children is told. The PIN is $P11HA_PIN unless "
          "given")
      ->required();
  command->add_option("-w,--workload", options.workloads, "which (all that make no keys)")->delimiter(',');
}

void addRounds(CLI::App* command, Options& options) {
  command->add_option("-t,--threads", options.threads, "threads, each with a session of its own (1,2,8,64)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  command->add_option("--round-ms", options.roundMilliseconds, "length of a round")->capture_default_str();
}

void addRoundCount(CLI::App* command, Options& options) {
  command->add_option("-r,--rounds", options.rounds, "rounds, in each of which every subject has its turn")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
}

void addCalls(CLI::App* command, Options& options) {
  command->add_option("--calls", options.calls, "calls counted")->capture_default_str()->check(CLI::Range(1, 1000000));
}

void addLines(CLI::App* command, Options& options) {
  command->add_option("--lines", options.logLines, "lines of the HA log a round")->capture_default_str();
}

void addStyle(CLI::App* command, Options& options) {
  command->add_flag("--json", options.json, "for machines");
  command->add_flag("--markdown", options.markdown, "for documents");
}

void addOwn(CLI::App* command, Options& options) {
  command->group("");  // not shown: this program, or a script of bench/, calls it
  command->add_option("--module", options.module)->required();
  command->add_option("--token", options.token)->required();
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Measures PKCS#11 modules and p11ha groups beside each other.", "p11ha-bench");
  app.require_subcommand(1);

  CLI::App* comparing = app.add_subcommand("compare", "throughput, latency, CPU and errors, in interleaved rounds");
  CLI::App* counting = app.add_subcommand("count", "instructions a call, through callgrind (package valgrind)");
  CLI::App* logging = app.add_subcommand("log", "the HA log against a bare loop over write(2)");
  CLI::App* table = app.add_subcommand("table", "all three; of throughput the ratios only");
  CLI::App* listing = app.add_subcommand("list", "the workloads");
  for (CLI::App* command : {comparing, counting, table}) addSubjects(command, options);
  for (CLI::App* command : {comparing, table}) addRounds(command, options);
  for (CLI::App* command : {comparing, logging, table}) addRoundCount(command, options);
  for (CLI::App* command : {counting, table}) addCalls(command, options);
  for (CLI::App* command : {logging, table}) addLines(command, options);
  for (CLI::App* command : {comparing, counting, logging, table}) addStyle(command, options);

  CLI::App* worker = app.add_subcommand("worker");
  addOwn(worker, options);
  worker->add_option("--socket", options.socket)->required();
  CLI::App* counted = app.add_subcommand("counted");
  addOwn(counted, options);
  counted->add_option("--workload", options.workload)->required();
  counted->add_option("--calls", options.calls)->required();

  CLI::App* making = app.add_subcommand("make-objects", "makes so many sets of mixed objects on a token");
  CLI::App* copying = app.add_subcommand("bare-copy", "copies them to another token of the module, without p11ha");
  CLI::App* rejoining = app.add_subcommand("rejoin", "how long a member takes to join a group");
  CLI::App* remembering = app.add_subcommand("memory", "what listed objects cost in memory");
  for (CLI::App* command : {making, copying, rejoining, remembering}) addOwn(command, options);
  making->add_option("--sets", options.sets)->required();
  copying->add_option("--other", options.otherToken)->required();
  remembering->add_option("--other", options.otherToken);
  rejoining->add_option("--configuration", options.configuration)->required();
  rejoining->add_option("--with", options.with)->required();
  rejoining->add_option("--ha-log", options.haLog)->required();

  CLI11_PARSE(app, argc, argv);
  if (making->parsed()) return runMakeObjects(options);
  if (copying->parsed()) return runBareCopy(options);
  if (rejoining->parsed()) return runRejoin(options);
  if (remembering->parsed()) return runMemory(options);
  if (comparing->parsed()) return runCompare(options, comparisonTable);
  if (counting->parsed()) return runCount(options);
  if (logging->parsed()) return runLog(options);
  if (table->parsed()) return runTable(options);
  if (listing->parsed()) return runList();
  if (worker->parsed()) return serve(options.own(), options.socket);
  return runCounted(options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    return failed(e.what());
  }
}
