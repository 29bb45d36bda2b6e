#include "bench/wire.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace p11ha::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

TEST(Wire, CarriesTasks) {
  const auto task = decodeTask(encode(Task{"random-32", 8, milliseconds(250), {7, 8}}));
  ASSERT_TRUE(task);
  EXPECT_EQ(task->workload, "random-32");
  EXPECT_EQ(task->threads, 8U);
  EXPECT_EQ(task->duration, milliseconds(250));
  EXPECT_EQ(task->servers, (std::vector<pid_t>{7, 8}));
  EXPECT_FALSE(decodeTask("nonsense"));
  EXPECT_FALSE(decodeTask("[]"));
}

TEST(Wire, CarriesSamples) {
  Sample sent;
  for (int i = 1; i < 500; ++i) sent.latencies.add(nanoseconds(i * 100));
  sent.errors = 3;
  sent.firstError = "CKR_DEVICE_ERROR";
  sent.wall = milliseconds(100);
  sent.cpu = milliseconds(50);
  sent.serverCpu = milliseconds(25);
  const auto arrived = decodeAnswer(encode(base::Result<Sample, std::string>(sent)));
  ASSERT_TRUE(arrived) << arrived.error();
  EXPECT_EQ(arrived->latencies.count(), 499U);
  EXPECT_EQ(arrived->latencies.quantile(0.99), sent.latencies.quantile(0.99));
  EXPECT_EQ(arrived->errors, 3U);
  EXPECT_EQ(arrived->firstError, "CKR_DEVICE_ERROR");
  EXPECT_DOUBLE_EQ(arrived->callsPerSecond(), 4990);
  EXPECT_DOUBLE_EQ(arrived->cpuMicroseconds(), 50000.0 / 499);
  EXPECT_DOUBLE_EQ(arrived->serverCpuMicroseconds(), 25000.0 / 499);
}

TEST(Wire, CarriesWhatIsWrong) {
  const auto arrived =
      decodeAnswer(encode(base::Result<Sample, std::string>(base::Failure{std::string("no \"token\"\n")})));
  ASSERT_FALSE(arrived);
  EXPECT_EQ(arrived.error(), "no \"token\"\n");
  EXPECT_FALSE(decodeAnswer("nonsense"));
  EXPECT_FALSE(decodeAnswer("{}"));
}

TEST(Wire, SplitsLinesHoweverTheyArrive) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  ASSERT_TRUE(sendLine(ends[0], "one\ntwo"));
  ASSERT_EQ(write(ends[0], "thr", 3), 3);
  LineReader lines(ends[1]);
  EXPECT_EQ(lines.next(), "one");
  EXPECT_EQ(lines.next(), "two");
  ASSERT_TRUE(sendLine(ends[0], "ee"));
  EXPECT_EQ(lines.next(), "three");
  close(ends[0]);
  EXPECT_EQ(lines.next(), std::nullopt);
  EXPECT_FALSE(sendLine(ends[1], "nobody hears it"));
  close(ends[1]);
}

}  // namespace
}  // namespace p11ha::bench
