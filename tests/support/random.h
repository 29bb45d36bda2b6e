// Numbers that are the same in every run.
#pragma once

#include <cstdint>

namespace p11ha::tests {

/// Steele, Lea and Flood's SplitMix64. One thread.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E37'79B9'7F4A'7C15;
    z = (z ^ (z >> 30)) * 0xBF58'476D'1CE4'E5B9;
    z = (z ^ (z >> 27)) * 0x94D0'49BB'1331'11EB;
    return z ^ (z >> 31);
  }
  /// Below `bound`.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  bool oneIn(std::uint64_t n) { return below(n) == 0; }
  std::uint8_t byte() { return static_cast<std::uint8_t>(next()); }
  std::uint8_t nonzeroByte() { return static_cast<std::uint8_t>(1 + below(255)); }

 private:
  std::uint64_t state_;
};

}  // namespace p11ha::tests
