#include "cli/log_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_directory.h"

namespace p11ha::tests::log_tail {
namespace {

using cli::LogTail;
using testing::ElementsAre;
using testing::IsEmpty;

class Tail : public testing::Test {
 protected:
  void add(const std::string& name, const std::string& text) const {
    std::ofstream(directory.path() + "/" + name, std::ios::app) << text;
  }
  void setAside(const std::string& name) const {
    std::filesystem::rename(directory.path() + "/haErrorLog.txt", directory.path() + "/" + name);
  }

  const TemporaryDirectory directory{"tail"};
  LogTail tail{directory.path()};
};

TEST_F(Tail, BeginsInFilesThatWereSetAside) {
  add("haErrorLog_20260101_000000.txt", "a\nb\n");
  add("haErrorLog_20260101_000001.txt", "c\n");
  add("haErrorLog_20260101_000001_2.txt", "d\n");
  add("haErrorLog_20260101_000001_10.txt", "e\n");
  add("haErrorLog.txt", "f\n");
  add("other.txt", "x\n");
  EXPECT_THAT(tail.last(5), ElementsAre("b", "c", "d", "e", "f"));
  EXPECT_THAT(tail.more(), IsEmpty());
  add("haErrorLog.txt", "g\n");
  EXPECT_THAT(tail.more(), ElementsAre("g"));
  EXPECT_THAT(LogTail(directory.path()).last(2), ElementsAre("f", "g"));
}

TEST_F(Tail, GoesOnAcrossEveryRotation) {
  add("haErrorLog.txt", "a\n");
  EXPECT_THAT(tail.last(9), ElementsAre("a"));
  add("haErrorLog.txt", "b\n");
  setAside("haErrorLog_20260101_000000.txt");
  add("haErrorLog.txt", "c\n");
  setAside("haErrorLog_20260101_000000_1.txt");
  add("haErrorLog.txt", "d\n");
  EXPECT_THAT(tail.more(), ElementsAre("b", "c", "d"));
  EXPECT_THAT(tail.more(), IsEmpty());
}

TEST_F(Tail, WaitsForTheEndOfALine) {
  add("haErrorLog.txt", "a\n");
  tail.last(1);
  add("haErrorLog.txt", "b");
  EXPECT_THAT(tail.more(), IsEmpty());
  add("haErrorLog.txt", "c\nd");
  EXPECT_THAT(tail.more(), ElementsAre("bc"));
}

TEST_F(Tail, WaitsForALogThatIsNotThereYet) {
  EXPECT_THAT(tail.last(3), IsEmpty());
  EXPECT_THAT(tail.more(), IsEmpty());
  add("haErrorLog.txt", "a\n");
  EXPECT_THAT(tail.more(), ElementsAre("a"));
  std::filesystem::remove(directory.path() + "/haErrorLog.txt");
  add("haErrorLog.txt", "b\n");
  EXPECT_THAT(tail.more(), ElementsAre("b"));
}

TEST_F(Tail, RepeatsNothingWhereTheLogIsRemovedAndMadeAnew) {
  add("haErrorLog_20260101_000000.txt", "a\n");
  add("haErrorLog.txt", "b\n");
  EXPECT_THAT(tail.last(9), ElementsAre("a", "b"));
  std::filesystem::remove(directory.path() + "/haErrorLog.txt");
  EXPECT_THAT(tail.more(), IsEmpty());
  add("haErrorLog.txt", "c\n");
  EXPECT_THAT(tail.more(), ElementsAre("c"));
  std::filesystem::remove(directory.path() + "/haErrorLog.txt");
  add("haErrorLog.txt", "d\n");
  setAside("haErrorLog_20260101_000001.txt");
  add("haErrorLog.txt", "e\n");
  EXPECT_THAT(tail.more(), ElementsAre("d", "e"));
}

}  // namespace
}  // namespace p11ha::tests::log_tail
