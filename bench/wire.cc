#include "bench/wire.h"

#include <sys/socket.h>

#include <cerrno>
#include <nlohmann/json.hpp>

namespace p11ha::bench {

using nlohmann::json;
using std::chrono::nanoseconds;

std::string encode(const Task& task) {
  return json{{"workload", task.workload},
              {"threads", task.threads},
              {"milliseconds", task.duration.count()},
              {"servers", task.servers}}
      .dump();
}

std::optional<Task> decodeTask(const std::string& line) {
  const json task = json::parse(line, nullptr, false);
  if (!task.is_object()) return std::nullopt;
  return Task{task.value("workload", ""), task.value("threads", 1U),
              std::chrono::milliseconds(task.value("milliseconds", std::int64_t{0})),
              task.value("servers", std::vector<pid_t>())};
}

std::string encode(const base::Result<Sample, std::string>& answer) {
  if (!answer) return json{{"wrong", answer.error()}}.dump();
  json buckets = json::array();
  for (const auto& [bucket, count] : answer->latencies.filled()) buckets.push_back({bucket, count});
  return json{{"buckets", buckets},
              {"max", answer->latencies.max().count()},
              {"errors", answer->errors},
              {"firstError", answer->firstError},
              {"wall", answer->wall.count()},
              {"cpu", answer->cpu.count()},
              {"serverCpu", answer->serverCpu.count()}}
      .dump();
}

base::Result<Sample, std::string> decodeAnswer(const std::string& line) {
  const json answer = json::parse(line, nullptr, false);
  if (answer.contains("wrong")) return base::Failure{answer.value("wrong", "")};
  if (!answer.contains("buckets")) return base::Failure{"a worker answers \"" + line + "\""};
  std::vector<Latencies::Filled> filled;
  for (const json& bucket : answer["buckets"]) {
    filled.push_back({bucket.at(0).get<std::size_t>(), bucket.at(1).get<std::uint64_t>()});
  }
  Sample sample;
  sample.latencies.restore(filled, nanoseconds(answer.value("max", std::int64_t{0})));
  sample.errors = answer.value("errors", std::uint64_t{0});
  sample.firstError = answer.value("firstError", "");
  sample.wall = nanoseconds(answer.value("wall", std::int64_t{0}));
  sample.cpu = nanoseconds(answer.value("cpu", std::int64_t{0}));
  sample.serverCpu = nanoseconds(answer.value("serverCpu", std::int64_t{0}));
  return sample;
}

bool sendLine(int socket, std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = send(socket, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::optional<std::string> LineReader::next() {
  std::size_t end = 0;
  while ((end = pending_.find('\n')) == std::string::npos) {
    char part[4096];
    const ssize_t got = recv(socket_, part, sizeof part, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    pending_.append(part, static_cast<std::size_t>(got));
  }
  std::string line = pending_.substr(0, end);
  pending_.erase(0, end + 1);
  return line;
}

}  // namespace p11ha::bench
