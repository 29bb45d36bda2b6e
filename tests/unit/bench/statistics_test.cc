#include "bench/statistics.h"

#include <gtest/gtest.h>

namespace p11ha::bench {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(Median, IsTheMiddle) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({1, 100, 3, 2}), 2.5);
}

TEST(MedianRatio, ComparesWhatWasMeasuredSideBySide) {
  // The machine halves its speed in the second round: the medians' ratio would be 0.75.
  const std::vector<double> base{100, 50, 50};
  const std::vector<double> theirs{90, 45, 75};
  EXPECT_DOUBLE_EQ(medianRatio(theirs, base), 0.9);
  EXPECT_DOUBLE_EQ(medianRatio(base, base), 1);
}

TEST(MedianRatio, IsAsLongAsTheShorter) {
  const std::vector<double> base{100, 100, 100};
  const std::vector<double> theirs{50};
  EXPECT_DOUBLE_EQ(medianRatio(theirs, base), 0.5);
}

TEST(Latencies, OfNoneAreZero) {
  const Latencies none;
  EXPECT_EQ(none.count(), 0U);
  EXPECT_EQ(none.max(), nanoseconds(0));
  EXPECT_EQ(none.quantile(0.5), nanoseconds(0));
  EXPECT_TRUE(none.filled().empty());
}

TEST(Latencies, TellSmallQuantilesExactly) {
  Latencies latencies;
  for (int i = 1; i <= 100; ++i) latencies.add(nanoseconds(i));
  EXPECT_EQ(latencies.count(), 100U);
  EXPECT_EQ(latencies.quantile(0.5), nanoseconds(50));
  EXPECT_EQ(latencies.quantile(0.99), nanoseconds(99));
  EXPECT_EQ(latencies.quantile(1), nanoseconds(100));
  EXPECT_EQ(latencies.quantile(0), nanoseconds(1));
}

TEST(Latencies, KeepEveryDurationToAPartIn64) {
  for (std::int64_t value = 1; value < std::int64_t{1} << 43; value = value * 5 / 3 + 1) {
    Latencies latencies;
    latencies.add(nanoseconds(value));
    latencies.add(nanoseconds(std::int64_t{1} << 43));
    const auto told = latencies.quantile(0.5).count();
    EXPECT_GE(told, value);
    EXPECT_LE(told - value, value / 64) << value;
  }
}

TEST(Latencies, OrderDurationsAcrossBuckets) {
  Latencies latencies;
  for (int i = 0; i < 990; ++i) latencies.add(nanoseconds(1000));
  for (int i = 0; i < 10; ++i) latencies.add(nanoseconds(1000000));
  EXPECT_LT(latencies.quantile(0.99).count(), 1100);
  EXPECT_GT(latencies.quantile(0.991).count(), 990000);
}

TEST(Latencies, TellTheLongestExactlyHoweverLong) {
  Latencies latencies;
  latencies.add(nanoseconds(1234567));
  EXPECT_EQ(latencies.quantile(0.99), nanoseconds(1234567));
  latencies.add(seconds(100000));
  EXPECT_EQ(latencies.max(), seconds(100000));
  EXPECT_LE(latencies.quantile(1), latencies.max());
}

TEST(Latencies, Add) {
  Latencies a;
  Latencies b;
  a.add(nanoseconds(10));
  b.add(nanoseconds(20));
  b.add(nanoseconds(5));
  a.add(b);
  EXPECT_EQ(a.count(), 3U);
  EXPECT_EQ(a.max(), nanoseconds(20));
  EXPECT_EQ(a.quantile(0.5), nanoseconds(10));
}

TEST(Latencies, SurviveTheWayThroughAPipe) {
  Latencies sent;
  for (int i = 0; i < 1000; ++i) sent.add(nanoseconds(i * i));
  Latencies arrived;
  ASSERT_TRUE(arrived.restore(sent.filled(), sent.max()));
  EXPECT_EQ(arrived.count(), sent.count());
  EXPECT_EQ(arrived.max(), sent.max());
  for (const double share : {0.01, 0.5, 0.9, 0.99}) EXPECT_EQ(arrived.quantile(share), sent.quantile(share));
  EXPECT_FALSE(arrived.restore({{1U << 20, 1}}, nanoseconds(1)));
  EXPECT_EQ(arrived.count(), sent.count());
}

}  // namespace
}  // namespace p11ha::bench
