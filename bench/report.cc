#include "bench/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace p11ha::bench {

using nlohmann::json;

namespace {

double microseconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

template <class T>
void addNew(std::vector<T>& all, const T& one) {
  if (std::find(all.begin(), all.end(), one) == all.end()) all.push_back(one);
}

template <class Results>
std::vector<std::string> subjectsOf(const Results& results) {
  std::vector<std::string> subjects;
  for (const auto& result : results) addNew(subjects, result.subject);
  return subjects;
}

template <class Results>
std::vector<const Workload*> workloadsOf(const Results& results) {
  std::vector<const Workload*> workloads;
  for (const auto& result : results) addNew(workloads, result.workload);
  return workloads;
}

}  // namespace

std::string comparisonTable(std::span<const Comparison> comparisons, Style style) {
  Table table({"workload", "subject", "threads", "calls/s", "ratio", "p50 us", "p99 us", "max us", "CPU us",
               "server CPU us", "CPU ratio", "errors", "first error"});
  for (const Comparison& one : comparisons) {
    table.add({std::string(one.workload->name), one.subject, std::to_string(one.threads), number(one.callsPerSecond),
               number(one.ratio, 3), number(microseconds(one.latencies.quantile(0.5)), 1),
               number(microseconds(one.latencies.quantile(0.99)), 1), number(microseconds(one.latencies.max()), 1),
               number(one.cpuMicroseconds, 2), number(one.serverCpuMicroseconds, 2), number(one.cpuRatio, 3),
               std::to_string(one.errors), one.firstError});
  }
  return table.format(style, 2);
}

std::string ratioTable(std::span<const Comparison> comparisons, Style style) {
  std::vector<unsigned> threads;
  for (const Comparison& one : comparisons) addNew(threads, one.threads);
  const std::vector<std::string> subjects = subjectsOf(comparisons);
  const auto counted = [](unsigned count) { return std::to_string(count) + (count == 1 ? " thread" : " threads"); };
  std::vector<std::string> head{"throughput", subjects.front() + ", calls/s, " + counted(threads.front())};
  for (const std::string& subject : subjects) {
    if (subject == subjects.front()) continue;
    for (const unsigned count : threads) head.push_back(subject + " / " + subjects.front() + ", " + counted(count));
  }
  Table table(std::move(head));
  for (const Workload* workload : workloadsOf(comparisons)) {
    std::vector<std::string> row{std::string(workload->title)};
    for (const std::string& subject : subjects) {
      for (const Comparison& one : comparisons) {
        if (one.workload != workload || one.subject != subject) continue;
        if (subject != subjects.front()) {
          row.push_back(number(one.ratio, 3));
        } else if (one.threads == threads.front()) {
          row.push_back(number(one.callsPerSecond));
        }
      }
    }
    table.add(std::move(row));
  }
  return table.format(style);
}

std::string instructionTable(std::span<const InstructionCount> counts, Style style) {
  const std::vector<std::string> subjects = subjectsOf(counts);
  std::vector<std::string> head{"instructions a call"};
  for (const std::string& subject : subjects) {
    head.push_back(subject);
    if (subject != subjects.front()) head.push_back(subject + " adds");
  }
  Table table(std::move(head));
  for (const Workload* workload : workloadsOf(counts)) {
    std::vector<std::string> row{std::string(workload->title)};
    for (const InstructionCount& one : counts) {
      if (one.workload != workload) continue;
      row.push_back(number(one.total));
      if (one.subject != subjects.front()) row.push_back(signedNumber(one.added));
    }
    table.add(std::move(row));
  }
  return table.format(style);
}

std::string logTable(std::span<const LogRate> rates, Style style) {
  Table table({"HA log", "bytes a line", "bare write(2)/s", "lines/s", "ratio", "dropped"});
  for (const LogRate& rate : rates) {
    table.add({rate.log, std::to_string(rate.lineBytes), number(rate.bareLinesPerSecond), number(rate.linesPerSecond),
               number(rate.ratio, 3), std::to_string(rate.dropped)});
  }
  return table.format(style);
}

json toJson(std::span<const Comparison> comparisons) {
  json all = json::array();
  for (const Comparison& one : comparisons) {
    all.push_back({{"workload", one.workload->name},
                   {"subject", one.subject},
                   {"threads", one.threads},
                   {"calls", one.latencies.count()},
                   {"calls_per_second", one.callsPerSecond},
                   {"ratio", one.ratio},
                   {"p50_us", microseconds(one.latencies.quantile(0.5))},
                   {"p99_us", microseconds(one.latencies.quantile(0.99))},
                   {"max_us", microseconds(one.latencies.max())},
                   {"cpu_us", one.cpuMicroseconds},
                   {"server_cpu_us", one.serverCpuMicroseconds},
                   {"cpu_ratio", one.cpuRatio},
                   {"errors", one.errors},
                   {"first_error", one.firstError}});
  }
  return all;
}

json toJson(std::span<const InstructionCount> counts) {
  json all = json::array();
  for (const InstructionCount& one : counts) {
    all.push_back({{"workload", one.workload->name},
                   {"subject", one.subject},
                   {"instructions", one.total},
                   {"added", one.added}});
  }
  return all;
}

json toJson(std::span<const LogRate> rates) {
  json all = json::array();
  for (const LogRate& rate : rates) {
    all.push_back({{"log", rate.log},
                   {"line_bytes", rate.lineBytes},
                   {"bare_lines_per_second", rate.bareLinesPerSecond},
                   {"lines_per_second", rate.linesPerSecond},
                   {"ratio", rate.ratio},
                   {"dropped", rate.dropped}});
  }
  return all;
}

}  // namespace p11ha::bench
