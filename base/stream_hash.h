// A hash of a byte stream, however it is cut into pieces.
#pragma once

#include <cstdint>
#include <span>

namespace p11ha::base {

/// Tells two streams apart without keeping either: a polynomial over the field of 2^61 - 1, evaluated at a point that
/// is drawn once a process, so that streams of n bytes that differ are taken for equal with a probability of at most n
/// / 2^60. Not for adversaries that learn the hash, which never leaves this process. One thread; cannot fail.
class StreamHash {
 public:
  void add(std::span<const std::uint8_t> bytes);
  void reset() { *this = {}; }
  friend bool operator==(const StreamHash&, const StreamHash&) = default;

 private:
  std::uint64_t value_ = 0;
  std::uint64_t partial_ = 0;  // the last bytes, fewer than a word
  unsigned partialSize_ = 0;
};

}  // namespace p11ha::base
