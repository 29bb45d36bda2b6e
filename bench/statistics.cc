#include "bench/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace p11ha::bench {

using std::chrono::nanoseconds;

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double medianRatio(std::span<const double> theirs, std::span<const double> base) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(theirs.size(), base.size()); ++i) ratios.push_back(theirs[i] / base[i]);
  return median(std::move(ratios));
}

// Below 2^kDetail a bucket holds one value; above, each power of two is cut in 2^kDetail buckets.
std::size_t Latencies::bucketOf(std::uint64_t value) {
  const std::uint64_t kept = std::min(value, (std::uint64_t{1} << kLongest) - 1);
  const auto bits = static_cast<unsigned>(std::bit_width(kept));
  if (bits <= kDetail) return kept;
  const unsigned shift = bits - kDetail - 1;
  return (std::size_t{shift} << kDetail) + (kept >> shift);
}

std::uint64_t Latencies::endOf(std::size_t bucket) {
  if (bucket < (std::size_t{2} << kDetail)) return bucket;
  const std::size_t shift = (bucket >> kDetail) - 1;
  const std::uint64_t begin = (bucket - (shift << kDetail)) << shift;
  return begin + (std::uint64_t{1} << shift) - 1;
}

void Latencies::add(nanoseconds duration) {
  ++buckets_[bucketOf(static_cast<std::uint64_t>(std::max<nanoseconds::rep>(duration.count(), 0)))];
  ++count_;
  max_ = std::max(max_, duration);
}

void Latencies::add(const Latencies& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

nanoseconds Latencies::quantile(double share) const {
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= wanted && seen != 0) return std::min(nanoseconds(endOf(i)), max_);
  }
  return max_;
}

std::vector<Latencies::Filled> Latencies::filled() const {
  std::vector<Filled> filled;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    if (buckets_[i] != 0) filled.push_back({i, buckets_[i]});
  }
  return filled;
}

bool Latencies::restore(const std::vector<Filled>& filled, nanoseconds max) {
  if (std::any_of(filled.begin(), filled.end(), [](const Filled& some) { return some.bucket >= kBuckets; })) {
    return false;
  }
  *this = {};
  for (const Filled& some : filled) {
    buckets_[some.bucket] += some.count;
    count_ += some.count;
  }
  max_ = max;
  return true;
}

}  // namespace p11ha::bench
