#include "bench/log_rate.h"

#include <fcntl.h>
#include <unistd.h>

#include "bench/statistics.h"
#include "bench/temporary_folder.h"
#include "halog/file_log.h"
#include "halog/format.h"

namespace p11ha::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kSerial[] = "1b8cb66c5913b793";

template <class Write>
double linesPerSecond(unsigned lines, Write&& write) {
  const Clock::time_point begun = Clock::now();
  for (unsigned i = 0; i < lines; ++i) write();
  return lines / std::chrono::duration<double>(Clock::now() - begun).count();
}

double bareRate(const std::filesystem::path& file, const std::string& line, unsigned lines) {
  const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  bool whole = descriptor >= 0;
  const double rate = linesPerSecond(lines, [&] {
    whole = write(descriptor, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && whole;
  });
  close(descriptor);
  if (!whole) throw std::runtime_error(file.string() + " cannot be written");
  return rate;
}

LogRate measureOne(std::string name, std::uint64_t maxLength, unsigned rounds, unsigned lines) {
  const base::SystemClock clock;
  const halog::Event event = halog::Recovered{1, "3b8cb66c5913b793"};
  const std::string line = halog::line(event, kSerial, getpid(), halog::localTime(clock.wall()));
  LogRate rate{std::move(name), line.size(), 0, 0, 0, 0};
  std::vector<double> bare;
  std::vector<double> logged;
  for (unsigned round = 0; round < rounds; ++round) {
    const TemporaryFolder folder;  // empty again in each round
    const auto bareTurn = [&] { bare.push_back(bareRate(folder.path() / "bare", line, lines)); };
    if (round % 2 == 0) bareTurn();
    halog::FileLog log(clock, {folder.path().string(), true, maxLength});
    logged.push_back(linesPerSecond(lines, [&] { log.write(kSerial, event); }));
    rate.dropped += log.counters().dropped;
    if (round % 2 != 0) bareTurn();
  }
  rate.bareLinesPerSecond = median(bare);
  rate.linesPerSecond = median(logged);
  rate.ratio = medianRatio(logged, bare);
  return rate;
}

}  // namespace

std::vector<LogRate> measureLog(unsigned rounds, unsigned linesPerRound) {
  return {measureOne("never rotated", UINT64_MAX, rounds, linesPerRound),
          measureOne("rotated at 256 KiB", halog::kDefaultMaxLength, rounds, linesPerRound)};
}

}  // namespace p11ha::bench
