// What is reported of many measurements. Plain values; one thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

namespace p11ha::bench {

/// The middle of them; the mean of the two middle ones where their number is even. 0 of none.
double median(std::vector<double> values);

/// The median of theirs[i] / base[i]: what was measured side by side is compared, so that a machine that gets slower or
/// faster meanwhile does not count. As long as the shorter of the two.
double medianRatio(std::span<const double> theirs, std::span<const double> base);

/// Durations of calls, in buckets no wider than 1/64 of what they hold. The maximum is exact.
class Latencies {
 public:
  void add(std::chrono::nanoseconds duration);
  void add(const Latencies& other);

  std::uint64_t count() const { return count_; }
  std::chrono::nanoseconds max() const { return max_; }
  /// Such that the share (0 to 1) of the durations is at most that, to the width of a bucket; never more than max(). 0
  /// of none.
  std::chrono::nanoseconds quantile(double share) const;

  /// The buckets that hold something, and how many: for its way through a pipe.
  struct Filled {
    std::size_t bucket = 0;
    std::uint64_t count = 0;
  };
  std::vector<Filled> filled() const;
  /// False, and nothing changed, if there are no such buckets.
  bool restore(const std::vector<Filled>& filled, std::chrono::nanoseconds max);

 private:
  static constexpr unsigned kDetail = 6;    // bits of a duration that its bucket tells
  static constexpr unsigned kLongest = 44;  // bits: five hours
  static constexpr std::size_t kBuckets = (kLongest - kDetail + 1) << kDetail;

  static std::size_t bucketOf(std::uint64_t nanoseconds);
  static std::uint64_t endOf(std::size_t bucket);  // the longest duration in it

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::chrono::nanoseconds max_{0};
};

}  // namespace p11ha::bench
