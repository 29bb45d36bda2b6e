#include "base/stream_hash.h"

#include <random>

namespace p11ha::base {
namespace {

constexpr std::uint64_t kModulus = (std::uint64_t{1} << 61) - 1;
constexpr unsigned kWord = 7;  // bytes that are an element of the field

__extension__ using Wide = unsigned __int128;

std::uint64_t drawPoint() {
  std::random_device device;
  const std::uint64_t drawn = (std::uint64_t{device()} << 32) | device();
  return drawn % (kModulus - 2) + 2;
}

std::uint64_t point() {
  static const std::uint64_t drawn = drawPoint();
  return drawn;
}

std::uint64_t step(std::uint64_t value, std::uint64_t word, std::uint64_t at) {
  const Wide product = static_cast<Wide>(value) * at + word;
  const auto folded = static_cast<std::uint64_t>(product & kModulus) + static_cast<std::uint64_t>(product >> 61);
  return folded >= kModulus ? folded - kModulus : folded;
}

}  // namespace

void StreamHash::add(std::span<const std::uint8_t> bytes) {
  const std::uint64_t at = point();
  for (const std::uint8_t byte : bytes) {
    partial_ |= std::uint64_t{byte} << (8 * partialSize_);
    if (++partialSize_ < kWord) continue;
    // One more than the word: leading zeros count.
    value_ = step(value_, partial_ + 1, at);
    partial_ = 0;
    partialSize_ = 0;
  }
}

}  // namespace p11ha::base
