// How fast the HA log is written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace p11ha::bench {

struct LogRate {
  std::string log;  // which setting
  std::size_t lineBytes = 0;
  double bareLinesPerSecond = 0;  // write(2) of one such line after the other, and nothing else; median of the rounds
  double linesPerSecond = 0;      // the HA log
  double ratio = 0;               // median of the ratios of the rounds
  std::uint64_t dropped = 0;
};

/// The HA log against a bare loop over write(2), interleaved, in a folder of the temporary directory: with files that
/// never fill, and as it is by default, rotated.
std::vector<LogRate> measureLog(unsigned rounds, unsigned linesPerRound);

}  // namespace p11ha::bench
